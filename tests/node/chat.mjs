// The OpenAI SDK: chat completions and legacy completions.
import { GPT, ask, chatTools, gpt, say } from "./lib.mjs";

const base = { model: GPT, messages: ask };

const { data: plain, response } = await gpt.chat.completions.create(base).withResponse();
say("plain", plain);
say("headers", Object.fromEntries(response.headers));

const chunks = [];
const wanted = { stream: true, stream_options: { include_usage: true } };
for await (const chunk of await gpt.chat.completions.create({ ...base, ...wanted })) chunks.push(chunk);
say("chunks", chunks);
say("final", await gpt.chat.completions.stream(base).finalChatCompletion());

const forced = { tools: chatTools, tool_choice: { type: "function", function: { name: "get_time" } } };
say("forced", (await gpt.chat.completions.create({ ...base, ...forced })).choices[0]);
const several = { ...base, model: `${GPT}+parallel=2`, tools: chatTools };
say("parallel", (await gpt.chat.completions.stream(several).finalChatCompletion()).choices[0]);

const legacy = { model: "gpt-3.5-turbo-instruct", prompt: "ping", max_tokens: 200 };
say("completion", (await gpt.completions.create(legacy)).choices[0].text);
let said = "";
for await (const chunk of await gpt.completions.create({ ...legacy, stream: true })) said += chunk.choices[0].text;
say("completion streamed", said);
