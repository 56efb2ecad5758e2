// Ask through the official JavaScript client: whole, streamed, with a tool, and wrongly; prints one JSON object.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "not-used", maxRetries: 0 });
const messages = [{ role: "user", content: "What is the weather in Paris?" }];
const tools = [{ type: "function", function: { name: "get_weather", parameters: { type: "object" } } }];
const model = "up/gpt-4o";

const models = [];
for await (const one of client.models.list()) models.push(one.id);

const whole = await client.chat.completions.create({ model, messages });

let streamed = "";
const names = new Set();
for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
  names.add(chunk.model);
  streamed += chunk.choices[0]?.delta?.content ?? "";
}

const called = await client.chat.completions.create({ model, messages, tools });

let refused;
try {
  await client.chat.completions.create({ model: "nobody/x", messages });
} catch (error) {
  refused = { kind: error.constructor.name, status: error.status, message: error.message };
}

const embedded = await client.embeddings.create({ model, input: "x", encoding_format: "float" });

console.log(
  JSON.stringify({
    models,
    whole: [whole.model, whole.choices[0].message.content],
    streamed: [[...names], streamed],
    called: called.choices[0].message.tool_calls[0].function,
    refused,
    embedded: embedded.data[0].embedding,
  }),
);
