// Both SDKs in front of a backend of the other protocol: streams, tool loops, thinking, parse, errors.
import { CLAUDE, GPT, anthropicTools, ask, chatTools, claude, gpt, responsesTools, say, thrown } from "./lib.mjs";

const person = {
  type: "object",
  properties: { name: { type: "string" }, age: { type: "integer" } },
  required: ["name", "age"],
  additionalProperties: false,
};
const result = (call) => `result of ${call}`;

async function messages() {
  const base = { model: GPT, max_tokens: 256, messages: ask };
  const { data: plain, response } = await claude.messages.create(base).withResponse();
  say("messages", { plain, headers: Object.fromEntries(response.headers), id: plain._request_id });
  say("messages streamed", await claude.messages.stream(base).finalMessage());

  const looped = { ...base, model: `${GPT}+parallel=2,think`, tools: anthropicTools };
  const called = await claude.messages.stream(looped).finalMessage();
  say("messages called", called.content);
  const results = called.content
    .filter((block) => block.type === "tool_use")
    .map((block) => ({ type: "tool_result", tool_use_id: block.id, content: result(block.name) }));
  const history = [...ask, { role: "assistant", content: called.content }, { role: "user", content: results }];
  say("messages answered", await claude.messages.create({ ...looped, messages: history }));
  const run = async () => result("get_weather");
  const tool = { ...anthropicTools[0], run, parse: (input) => input };
  const asked = { ...base, model: `${GPT}+tool=get_weather`, tools: [tool] };
  say("messages runner", await claude.beta.messages.toolRunner(asked));
  const format = { type: "json_schema", schema: person };
  const parsed = await claude.messages.create({ ...base, output_config: { format } });
  say("messages structured", JSON.parse(parsed.content[0].text));
  const { data: counted, response: counting } = await claude.messages.countTokens({ model: GPT, messages: ask }).withResponse();
  say("messages counted", { counted, estimated: counting.headers.get("x-patchbay-estimated") });
}

async function chat() {
  const base = { model: CLAUDE, messages: ask };
  const { data: plain, response } = await gpt.chat.completions.create(base).withResponse();
  say("chat", { plain, headers: Object.fromEntries(response.headers), id: plain._request_id });
  say("chat streamed", await gpt.chat.completions.stream(base).finalChatCompletion());

  const looped = { ...base, model: `${CLAUDE}+parallel=2,think`, tools: chatTools };
  const { message } = (await gpt.chat.completions.stream(looped).finalChatCompletion()).choices[0];
  say("chat called", message);
  const results = message.tool_calls.map((call) => (
    { role: "tool", tool_call_id: call.id, content: result(call.function.name) }));
  say("chat answered", await gpt.chat.completions.create({ ...looped, messages: [...ask, message, ...results] }));
  const response_format = { type: "json_schema", json_schema: { name: "person", strict: true, schema: person } };
  say("chat structured", (await gpt.chat.completions.parse({ ...base, response_format })).choices[0].message.parsed);
}

async function responses() {
  const base = { model: CLAUDE, input: "ping" };
  const plain = await gpt.responses.create(base);
  const streamed = await gpt.responses.stream(base).finalResponse();
  say("responses", { plain, text: plain.output_text, streamed: streamed.output_text, id: plain._request_id });

  const asked = { model: `${CLAUDE}+parallel=2,think`, tools: responsesTools };
  const called = await gpt.responses.stream({ ...asked, input: ask }).finalResponse();
  say("responses called", called.output);
  const results = called.output
    .filter((item) => item.type === "function_call")
    .map((item) => ({ type: "function_call_output", call_id: item.call_id, output: result(item.name) }));
  const answered = await gpt.responses.create({ ...asked, previous_response_id: called.id, input: results });
  say("responses answered", answered.output_text);
  const format = { type: "json_schema", name: "person", strict: true, schema: person };
  say("responses structured", (await gpt.responses.parse({ ...base, text: { format } })).output_parsed);
}

async function errors() {
  const message = (words) => claude.messages.create({ model: `${GPT}+${words}`, max_tokens: 64, messages: ask });
  const completion = (words) => gpt.chat.completions.create({ model: `${CLAUDE}+${words}`, messages: ask });
  for (const status of [400, 403, 404, 500, 503]) {
    say(`messages ${status}`, await thrown(() => message(`status=${status}`)));
  }
  for (const status of [400, 403, 404, 500, 529]) {
    say(`chat ${status}`, await thrown(() => completion(`status=${status}`)));
  }
  const cutMessages = claude.messages.stream({ model: `${GPT}+cut=4`, max_tokens: 64, messages: ask });
  say("messages cut", await thrown(() => cutMessages.finalMessage()));
  const cutChat = gpt.chat.completions.stream({ model: `${CLAUDE}+cut=4`, messages: ask });
  say("chat cut", await thrown(() => cutChat.finalChatCompletion()));
  const cutResponse = gpt.responses.stream({ model: `${CLAUDE}+cut=4`, input: "ping" });
  say("responses cut", await thrown(() => cutResponse.finalResponse()));
}

await { messages, chat, responses, errors }[process.argv[2]]();
