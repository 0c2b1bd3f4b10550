// Both SDKs: leaving by AbortController, by `break`, and before the first byte. Each scenario waits for a line on
// standard input before it leaves, so that the test can look at the upstream first.
import { createInterface } from "node:readline";
import { CLAUDE, GPT, ask, claude, gpt, say, thrown } from "./lib.mjs";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const goOn = () => lines.next();

async function leaveStream(name, starting) {
  const stream = await starting;
  let seen = 0;
  for await (const _ of stream) {
    if (++seen < 3) continue;
    say(name, "streaming");
    await goOn();
    break;
  }
}

async function leaveWaiting(name, start) {
  const controller = new AbortController();
  const waiting = thrown(() => start({ signal: controller.signal }));
  say(name, "waiting");
  await goOn();
  controller.abort();
  say(`${name} thrown`, (await waiting).raised);
}

const endless = { stream: true, messages: ask };
await leaveStream("anthropic stream",
  claude.messages.create({ ...endless, model: `${CLAUDE}+endless,gap=5ms`, max_tokens: 64 }));
await leaveStream("openai stream", gpt.chat.completions.create({ ...endless, model: `${GPT}+endless,gap=5ms` }));

const late = { messages: ask, max_tokens: 64 };
await leaveWaiting("anthropic plain",
  (options) => claude.messages.create({ ...late, model: `${CLAUDE}+hang` }, options));
await leaveWaiting("openai plain",
  (options) => gpt.chat.completions.create({ ...late, model: `${GPT}+hang` }, options));
await leaveWaiting("openai before the first byte",
  (options) => gpt.chat.completions.create({ ...late, stream: true, model: `${GPT}+ttfb=60s` }, options));
process.exit(0);
