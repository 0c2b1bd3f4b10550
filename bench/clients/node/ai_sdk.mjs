// The Vercel AI SDK: a tool loop in one piece and streamed, and a structured answer.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { Output, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { KEY, TOLD, assert, checked, includes, model, url, weather } from "./lib.mjs";

const settings = { baseURL: `${url}/v1`, apiKey: KEY };
const provider = {
  anthropic: () => createAnthropic(settings)(model),
  responses: () => createOpenAI(settings).responses(model),
  chat: () => createOpenAI(settings).chat(model),
}[process.argv[2]]();

const tools = {
  get_weather: tool({
    description: "Weather of a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: async (input) => weather(input),
  }),
};
const loop = { model: provider, tools, stopWhen: stepCountIs(3), prompt: "How is the weather?", maxRetries: 0 };

const plain = await generateText(loop);
includes(plain.text, TOLD);
assert.equal(plain.steps.length, 2);
assert.equal(plain.steps[0].finishReason, "tool-calls");
assert.equal(plain.finishReason, "stop");
assert.ok(plain.usage.inputTokens > 0 && plain.usage.outputTokens > 0, JSON.stringify(plain.usage));
checked("tool loop of 2 steps");

const kinds = new Set();
const failures = [];
const streamed = streamText({ ...loop, onError: ({ error }) => failures.push(error) });
for await (const part of streamed.fullStream) kinds.add(part.type);
assert.deepEqual(failures, []);
includes(await streamed.text, TOLD);
assert.equal((await streamed.steps).length, 2);
// Over chat, OpenAI's own provider has no field for reasoning.
const thinks = process.argv[2] === "chat" ? [] : ["reasoning-delta"];
for (const kind of ["tool-input-delta", "tool-call", "tool-result", "text-delta", ...thinks]) {
  assert.ok(kinds.has(kind), `no ${kind} among ${[...kinds]}`);
}
checked(`streamed tool loop${thinks.length ? " with reasoning" : ""}`);

const person = z.object({ name: z.string(), age: z.number() });
const { output } = await generateText({
  model: provider,
  output: Output.object({ schema: person }),
  prompt: "Who?",
  maxRetries: 0,
});
assert.deepEqual(Object.keys(output).sort(), ["age", "name"]);
checked("structured output");
