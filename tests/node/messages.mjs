// The Anthropic SDK: messages, streams, tools, thinking, counting.
import { CLAUDE, anthropicTools, ask, claude, say } from "./lib.mjs";

const base = { model: CLAUDE, max_tokens: 256, messages: ask };

const { data: plain, response } = await claude.messages.create(base).withResponse();
say("plain", plain);
say("headers", Object.fromEntries(response.headers));

const events = [];
for await (const event of await claude.messages.create({ ...base, stream: true })) events.push(event.type);
say("events", events);

let streamed = "";
const stream = claude.messages.stream(base).on("text", (piece) => (streamed += piece));
say("final", await stream.finalMessage());
say("streamed", streamed);

const forced = { tools: anthropicTools, tool_choice: { type: "tool", name: "get_time" } };
say("forced", (await claude.messages.create({ ...base, ...forced })).content);
const several = { ...base, model: `${CLAUDE}+parallel=2,think`, tools: anthropicTools };
say("parallel", (await claude.messages.stream(several).finalMessage()).content);
say("counted", await claude.messages.countTokens({ model: CLAUDE, messages: ask }));
