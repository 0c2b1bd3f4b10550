// The OpenAI SDK: responses, embeddings.
import { GPT, gpt, responsesTools, say } from "./lib.mjs";

const base = { model: GPT, input: "ping" };

const plain = await gpt.responses.create(base);
say("plain", { text: plain.output_text, status: plain.status, usage: plain.usage });

const events = [];
for await (const event of await gpt.responses.create({ ...base, stream: true })) {
  events.push([event.type, event.sequence_number]);
}
say("events", events);

const final = await gpt.responses.stream(base).finalResponse();
say("final", { text: final.output_text, status: final.status, usage: final.usage });

const forced = { tools: responsesTools, tool_choice: { type: "function", name: "get_time" } };
say("forced", (await gpt.responses.create({ ...base, ...forced })).output);
const several = { ...base, model: `${GPT}+parallel=2`, tools: responsesTools };
say("parallel", (await gpt.responses.stream(several).finalResponse()).output);

const embedder = { model: "text-embedding-3-small", input: ["one", "two"], dimensions: 8 };
say("packed", (await gpt.embeddings.create(embedder)).data); // the SDK asks for base64 by itself
say("plain vectors", (await gpt.embeddings.create({ ...embedder, encoding_format: "float" })).data);
