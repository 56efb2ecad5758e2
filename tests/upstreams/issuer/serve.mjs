// A real OpenID provider. Its keys come from the environment; `claims` of a token request are put into the token as they are,
// null takes one away. Whoever may ask it for tokens may ask it for anything: it is for tests.
import Provider from "oidc-provider";

const port = Number(process.env.PORT);
const algorithms = ["RS256", "PS256", "ES256", "EdDSA"];
const clients = algorithms.map((alg) => ({
  client_id: alg,
  client_secret: "secret",
  grant_types: ["client_credentials"],
  redirect_uris: [],
  response_types: [],
}));
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients,
  jwks: JSON.parse(process.env.KEYS),
  scopes: ["llm", "mcp"],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => "https://nexus.test",
      getResourceServerInfo: (ctx, resource, client) => ({
        scope: "llm mcp",
        audience: resource,
        accessTokenFormat: "jwt",
        accessTokenTTL: 600,
        jwt: { sign: { alg: client.clientId } },
      }),
    },
  },
  formats: {
    customizers: {
      jwt(ctx, token, parts) {
        for (const [name, value] of Object.entries(JSON.parse(ctx.oidc.body.claims ?? "{}"))) {
          if (value === null) delete parts.payload[name];
          else parts.payload[name] = value;
        }
      },
    },
  },
});
provider.listen(port, "127.0.0.1", () => console.log("ready"));
