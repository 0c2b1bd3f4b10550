// Shared by the scenario scripts: the official SDKs pointed at the Patchbay of PATCHBAY_TEST_URL, and `say()`,
// which prints one JSON line for the Python test that started the script.
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const url = process.env.PATCHBAY_TEST_URL;
if (!url || !new URL(url).hostname.startsWith("127.")) {
  throw new Error("Set PATCHBAY_TEST_URL to a Patchbay on this machine, e.g. http://127.0.0.1:3456.");
}

export const CLAUDE = "claude-opus-4-8";
export const GPT = "gpt-4o";
export const ask = [{ role: "user", content: "ping" }];

export const claude = new Anthropic({ baseURL: url, apiKey: "any-text-will-do", maxRetries: 0 });
export const gpt = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any-text-will-do", maxRetries: 0 });
export { Anthropic, OpenAI };

const parameters = (name) => ({ type: "object", properties: { [name]: { type: "string" } }, required: [name] });
const tools = [
  { name: "get_weather", parameters: parameters("city") },
  { name: "get_time", parameters: parameters("zone") },
];
export const anthropicTools = tools.map((tool) => ({ name: tool.name, input_schema: tool.parameters }));
export const chatTools = tools.map((tool) => ({ type: "function", function: tool }));
export const responsesTools = tools.map((tool) => ({ type: "function", strict: false, ...tool }));

export function say(name, value) {
  console.log(JSON.stringify({ name, value }));
}

// What an SDK throws, as facts: the class's name and what the user can read from it.
export async function thrown(work) {
  try {
    await work();
  } catch (error) {
    const { status, type, code, message } = error;
    return { raised: error.constructor.name, status, type, code, message, body: error.error, headers: seen(error) };
  }
  return { raised: null };
}

function seen(error) {
  const names = ["retry-after", "x-patchbay-request-id"];
  return error.headers ? Object.fromEntries(names.map((name) => [name, error.headers.get(name)])) : {};
}
