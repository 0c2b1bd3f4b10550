// What the scripts of several pages share: figures in words, and elements whose content is text and stays text.
"use strict";
const Patchbay = (() => {
  const DASH = "–";

  function duration(ms) {
    if (ms === null || ms === undefined) return DASH;
    if (ms < 1000) return `${Math.round(ms)} ms`;
    const seconds = ms / 1000;
    if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
    return `${Math.floor(seconds / 60)}m ${Math.round(seconds % 60)}s`;
  }

  function bytes(count) {
    if (count < 1000) return `${count} B`;
    return count < 1e6 ? `${(count / 1e3).toFixed(1)} kB` : `${(count / 1e6).toFixed(1)} MB`;
  }

  const number = (count) => (count === null || count === undefined ? DASH : count.toLocaleString("en"));

  function tokens(request) {
    if (request.inputTokens === null && request.outputTokens === null) return DASH;
    const about = request.usageSource === "estimated" ? "~" : "";
    return `${about}${number(request.inputTokens ?? 0)} / ${number(request.outputTokens ?? 0)}`;
  }

  function cost(request, digits = 2) {
    if (request.cost === null) return request.inputTokens === null ? DASH : "unpriced";
    const about = request.usageSource === "estimated" ? "~" : "";
    const shown = request.cost >= 0.01 ? request.cost.toFixed(digits) : request.cost.toPrecision(2);
    return `${about}$${shown}`;
  }

  function model(request) {
    const { modelAsked, modelUsed } = request;
    return modelUsed && modelAsked && modelUsed !== modelAsked ? `${modelAsked} → ${modelUsed}` : modelAsked || modelUsed || DASH;
  }

  // What an error says: of a provider's JSON its message.
  function cause(error) {
    if (!error.startsWith("{")) return error;
    try {
      const found = JSON.parse(error);
      const message = found.error?.message ?? found.error ?? found.message;
      return typeof message === "string" && message ? message : error;
    } catch {
      return error;
    }
  }

  function servedBy(request) {
    const { backend, account } = request;
    return account && account !== backend ? `${backend} / ${account}` : backend || DASH;
  }

  function make(name, text, className) {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  }

  return { DASH, bytes, cause, cost, duration, make, model, number, servedBy, tokens };
})();
