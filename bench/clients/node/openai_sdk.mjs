// The official OpenAI SDK: its tool runner and structured parse, over chat or over responses.
import OpenAI from "openai";
import { KEY, PERSON, TOLD, assert, checked, includes, model, url, weather } from "./lib.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: KEY, maxRetries: 0 });
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const question = "How is the weather?";

async function chat() {
  const run = { type: "function", function: { name: "get_weather", parameters, parse: JSON.parse, function: weather } };
  const asked = { model, messages: [{ role: "user", content: question }], tools: [run] };
  includes(await client.chat.completions.runTools(asked).finalContent(), TOLD);
  checked("tool runner");
  const streamed = client.chat.completions.runTools({ ...asked, stream: true });
  let pieces = 0;
  streamed.on("content", () => (pieces += 1));
  includes(await streamed.finalContent(), TOLD);
  assert.ok(pieces > 3, `${pieces} pieces`);
  checked("streamed tool runner");
  const format = { type: "json_schema", json_schema: { name: "person", strict: true, schema: PERSON } };
  const parsed = await client.chat.completions.parse({ model, messages: asked.messages, response_format: format });
  assert.deepEqual(Object.keys(parsed.choices[0].message.parsed).sort(), ["age", "name"]);
  checked("structured parse");
}

async function responses() {
  const tools = [{ type: "function", name: "get_weather", parameters, strict: false }];
  const input = [{ role: "user", content: question }];
  const first = await client.responses.stream({ model, input, tools, store: false }).finalResponse();
  const calls = first.output.filter((item) => item.type === "function_call");
  assert.equal(calls.length, 1);
  const results = calls.map(({ call_id, arguments: given }) => (
    { type: "function_call_output", call_id, output: weather(JSON.parse(given)) }));
  const second = await client.responses.create({ model, input: [...input, ...first.output, ...results], tools });
  includes(second.output_text, TOLD);
  checked("tool loop with replayed reasoning");
  const third = await client.responses.create({ model, previous_response_id: second.id, input: "And now?" });
  includes(third.output_text, "You said: And now?");
  checked("previous_response_id");
  const format = { type: "json_schema", name: "person", strict: true, schema: PERSON };
  const parsed = await client.responses.parse({ model, input, text: { format } });
  assert.deepEqual(Object.keys(parsed.output_parsed).sort(), ["age", "name"]);
  checked("structured parse");
}

await { chat, responses }[process.argv[2]]();
