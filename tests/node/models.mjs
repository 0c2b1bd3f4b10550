// Both SDKs: the list of models and one model.
import { CLAUDE, claude, gpt, say } from "./lib.mjs";

const inOpenAI = [];
for await (const model of gpt.models.list()) inOpenAI.push(model.id);
const inAnthropic = [];
for await (const model of claude.models.list({ limit: 1 })) inAnthropic.push(model.id); // ends, or the test times out
say("openai", inOpenAI);
say("anthropic", inAnthropic);
say("one for openai", await gpt.models.retrieve(CLAUDE));
say("one for anthropic", await claude.models.retrieve(CLAUDE));
