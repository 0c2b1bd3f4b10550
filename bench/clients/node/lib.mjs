// Shared by the scripts here: where Patchbay is, which model to ask for, and how findings are told.
import assert from "node:assert/strict";

export { assert };
export const url = process.env.PATCHBAY_URL;
export const model = process.env.PATCHBAY_MODEL;
export const KEY = process.env.PATCHBAY_CLIENT_KEY;
export const CITY = "simulated city"; // what the simulated model asks for

export function weather({ city }) {
  assert.equal(city, CITY);
  return `12 degrees in ${city}, grüß Gott`;
}
export const TOLD = `The tool answered: 12 degrees in ${CITY}, grüß Gott`;
export const PERSON = {
  type: "object",
  properties: { name: { type: "string" }, age: { type: "integer" } },
  required: ["name", "age"],
  additionalProperties: false,
};

export function checked(what) {
  console.log(what);
}

export function includes(text, part) {
  assert.ok(text.includes(part), `${JSON.stringify(text)} does not hold ${JSON.stringify(part)}`);
}
