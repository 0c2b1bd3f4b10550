// The official Anthropic SDK: its tool runner, plain and streamed, and its structured parse.
import Anthropic from "@anthropic-ai/sdk";
import { betaTool } from "@anthropic-ai/sdk/helpers/beta/json-schema";
import { jsonSchemaOutputFormat } from "@anthropic-ai/sdk/helpers/json-schema";
import { KEY, PERSON, TOLD, assert, checked, includes, model, url, weather } from "./lib.mjs";

const client = new Anthropic({ baseURL: url, apiKey: KEY, maxRetries: 0 });
const tool = betaTool({
  name: "get_weather",
  description: "Weather of a city.",
  inputSchema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  run: weather,
});
const asked = { model, max_tokens: 1000, messages: [{ role: "user", content: "How is the weather?" }] };
const textOf = (message) => message.content.map((block) => (block.type === "text" ? block.text : "")).join("");

const final = await client.beta.messages.toolRunner({ ...asked, tools: [tool] });
includes(textOf(final), TOLD);
assert.equal(final.stop_reason, "end_turn");
checked("tool runner");

const runner = client.beta.messages.toolRunner({ ...asked, tools: [tool], stream: true });
let deltas = 0;
for await (const stream of runner) {
  for await (const event of stream) deltas += event.type === "content_block_delta" ? 1 : 0;
}
assert.ok(deltas > 5, `${deltas} deltas`);
includes(textOf(await runner.done()), TOLD);
checked("streamed tool runner");

const parsed = await client.messages.parse({ ...asked, output_config: { format: jsonSchemaOutputFormat(PERSON) } });
assert.deepEqual(Object.keys(parsed.parsed_output).sort(), ["age", "name"]);
checked("structured parse");
