// Let the official JavaScript clients run their own tool loops, streamed, for every model given; prints one JSON object.
import Anthropic from "@anthropic-ai/sdk";
import { betaTool } from "@anthropic-ai/sdk/helpers/beta/json-schema";
import OpenAI from "openai";

const [base, ...models] = process.argv.slice(2);
const openai = new OpenAI({ baseURL: `${base}/llm/openai/v1`, apiKey: "k", maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: `${base}/llm/anthropic`, apiKey: "k", maxRetries: 0 });
const ask = () => [{ role: "user", content: "What is the weather in Paris, Rome and Bern?" }];
const degrees = { Paris: 21, Rome: 28, Bern: 14 };
const run = ({ city }) => `${degrees[city]} in ${city}`;
const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const about = { name: "get_weather", description: "Tell the weather" };
const form = {
  type: "json_schema",
  name: "city",
  strict: true,
  schema: {
    type: "object",
    properties: { city: { type: "string" }, degrees: { type: "integer" } },
    required: ["city", "degrees"],
    additionalProperties: false,
  },
};

async function chat(model) {
  const tools = [
    { type: "function", function: { ...about, parameters: schema, parse: JSON.parse, function: run } },
  ];
  return openai.chat.completions.runTools({ model, messages: ask(), tools, stream: true }).finalContent();
}

async function runMessages(model) {
  const tools = [betaTool({ ...about, inputSchema: schema, run })];
  // the stand-in does not keep conversations, and does not say so either
  const thread = model.startsWith("anthropic/") ? false : undefined;
  const runner = anthropic.beta.messages.toolRunner({
    model,
    max_tokens: 999,
    messages: ask(),
    tools,
    stream: true,
    thread,
  });
  return (await runner.runUntilDone()).content.at(-1).text;
}

async function responses(model) {
  const stream = openai.responses.stream({ model, input: "Name a city", text: { format: form } });
  return JSON.stringify((await stream.finalResponse()).output_parsed ?? null);
}

const found = {};
for (const model of models) {
  found[model] = {
    chat: await chat(model),
    messages: await runMessages(model),
    responses: await responses(model),
  };
}
console.log(JSON.stringify(found));
