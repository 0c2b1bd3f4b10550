// Both SDKs: which error is thrown for what.
import { CLAUDE, GPT, ask, claude, gpt, say, thrown } from "./lib.mjs";

const message = (words, more = {}) =>
  claude.messages.create({ model: `${CLAUDE}+${words}`, max_tokens: 64, messages: ask, ...more });
const chat = (words, more = {}) => gpt.chat.completions.create({ model: `${GPT}+${words}`, messages: ask, ...more });

for (const status of [400, 403, 404, 409, 422, 500]) {
  say(`anthropic ${status}`, await thrown(() => message(`status=${status}`)));
  say(`openai ${status}`, await thrown(() => chat(`status=${status}`)));
}
say("anthropic 529", await thrown(() => message("status=529", { stream: true })));

const unknown = { messages: ask, max_tokens: 64 };
say("anthropic unknown model", await thrown(() => claude.messages.create({ ...unknown, model: "caude-opus-4-8" })));
say("openai unknown model", await thrown(() => gpt.chat.completions.create({ ...unknown, model: "gtp-4o" })));

async function drain(starting) {
  let count = 0;
  const failure = await thrown(async () => {
    for await (const _ of await starting) count += 1;
  });
  return { count, ...failure };
}

const response = (words) => gpt.responses.create({ model: `${GPT}+${words}`, input: "ping", stream: true });
say("anthropic cut", await drain(message("cut=4", { stream: true })));
say("openai cut", await drain(chat("cut=4", { stream: true })));
say("responses cut", await drain(response("cut=7")));
say("anthropic error event", await drain(message("error=4:overloaded_error", { stream: true })));
say("openai error event", await drain(chat("error=4:server_error", { stream: true })));
say("anthropic helper cut", await thrown(() =>
  claude.messages.stream({ model: `${CLAUDE}+cut=4`, max_tokens: 64, messages: ask }).finalMessage()));
say("openai helper cut", await thrown(() =>
  gpt.chat.completions.stream({ model: `${GPT}+cut=4`, messages: ask }).finalChatCompletion()));
