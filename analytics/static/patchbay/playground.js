// The playground: one request to several models at once, streamed. What models say is text and stays text.
"use strict";
{
  const $ = (id) => document.getElementById(id);
  const form = $("prompt");
  const data = JSON.parse($("playground-data").textContent);
  const RECORD = "patchbay.record";
  const { cost, duration, make, number } = Patchbay;
  let running = []; // one AbortController for each side

  // --- the form ------------------------------------------------------------------------------------------------------

  function addSide(model) {
    const sides = $("sides");
    if (sides.children.length >= data.most) return;
    const side = $("side").content.firstElementChild.cloneNode(true);
    side.querySelector("[name=model]").value = model;
    side.querySelector(".remove").addEventListener("click", () => {
      side.remove();
      limit();
    });
    sides.append(side);
    limit();
  }

  function limit() {
    const count = $("sides").children.length;
    $("add").disabled = count >= data.most;
    for (const button of document.querySelectorAll(".side .remove")) button.disabled = count < 2;
  }

  // The body in the words of the chosen protocol.
  const BODIES = {
    chat: ({ system, prompt, most }) => ({
      messages: [...(system ? [{ role: "system", content: system }] : []), { role: "user", content: prompt }],
      max_tokens: most,
    }),
    messages: ({ system, prompt, most }) => ({
      ...(system ? { system } : {}),
      messages: [{ role: "user", content: prompt }],
      max_tokens: most,
    }),
    responses: ({ system, prompt, most }) => ({
      ...(system ? { instructions: system } : {}),
      input: prompt,
      max_output_tokens: most,
    }),
  };

  function bodyFor(kind, model) {
    const fields = form.elements;
    const asked = { system: fields.system?.value.trim(), prompt: fields.prompt?.value, most: Number(fields.max_tokens?.value) };
    const body = data.replay ? JSON.parse(fields.body.value) : BODIES[kind](asked);
    const usage = kind === "chat" ? { stream_options: { ...body.stream_options, include_usage: true } } : {};
    return { ...body, ...usage, model, stream: true };
  }

  // --- one answer ----------------------------------------------------------------------------------------------------

  function card(title) {
    const element = make("section", undefined, "panel answer-card");
    const header = make("header");
    const state = make("span", "waiting", "tag info");
    header.append(make("h2", title, "anywhere"), state);
    const thinking = make("details");
    const thought = make("pre", "", "code");
    thinking.append(make("summary", "Thinking"), thought);
    thinking.hidden = true;
    const answer = make("pre", "", "said");
    const facts = make("dl", undefined, "facts");
    element.append(header, thinking, answer, facts);
    $("answers").append(element);
    return { element, state, thinking, thought, answer, facts };
  }

  function end(made, text, tone) {
    made.state.textContent = text;
    made.state.className = `tag ${tone}`;
  }

  function showFacts(made, pairs) {
    const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
    made.facts.replaceChildren(...shown.flatMap(([name, value]) => {
      const told = make("dd");
      told.append(value);
      return [make("dt", name), told];
    }));
  }

  function showRecord(made, record) {
    const page = make("a", "everything about it");
    page.href = form.dataset.request.replace("ID", encodeURIComponent(record.id));
    showFacts(made, [
      ["Served by", [record.backend, record.account].filter(Boolean).join(" / ")],
      ["Model", record.modelUsed],
      ["Took", duration(record.durationMs)],
      ["First content", duration(record.ttftMs)],
      ["Tokens in, out", `${number(record.inputTokens)} / ${number(record.outputTokens)}`],
      ["Cost", cost(record, 4)],
      ["Error", record.error],
      ["", page],
    ]);
  }

  // --- streams -------------------------------------------------------------------------------------------------------

  // What an event of each protocol adds: {text}, {thinking}, {call}, {error} or nothing.
  const READERS = {
    chat(event) {
      if (event.error) return { error: event.error.message };
      const delta = event.choices?.[0]?.delta ?? {};
      const calls = (delta.tool_calls ?? []).map((call) => (call.function?.name ? `\n[${call.function.name}] ` : "") + (call.function?.arguments ?? ""));
      return { text: (delta.content ?? "") + calls.join(""), thinking: delta.reasoning_content ?? delta.reasoning };
    },
    messages(event) {
      if (event.type === "error") return { error: event.error?.message };
      const block = event.content_block;
      if (event.type === "content_block_start") return block?.type === "tool_use" ? { text: `\n[${block.name}] ` } : {};
      const delta = event.delta ?? {};
      return event.type === "content_block_delta" ? { text: delta.text ?? delta.partial_json, thinking: delta.thinking } : {};
    },
    responses(event) {
      switch (event.type) {
        case "response.output_text.delta":
        case "response.function_call_arguments.delta":
          return { text: event.delta };
        case "response.reasoning_summary_text.delta":
        case "response.reasoning_text.delta":
          return { thinking: event.delta };
        case "response.output_item.added":
          return event.item?.type === "function_call" ? { text: `\n[${event.item.name}] ` } : {};
        case "error":
          return { error: event.message ?? event.error?.message };
        case "response.failed":
          return { error: event.response?.error?.message };
        default:
          return {};
      }
    },
  };

  async function* eventsOf(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      rest += (value ?? "").replaceAll("\r\n", "\n");
      const parts = rest.split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        const lines = part.split("\n");
        const text = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart()).join("\n");
        const name = lines.find((line) => line.startsWith("event:"))?.slice(6).trim();
        if (text && text !== "[DONE]") yield { name, data: JSON.parse(text) };
      }
      if (done) return;
    }
  }

  async function ask(kind, side, controller) {
    const made = card(side.account ? `${side.model} on ${side.account}` : side.model);
    const began = performance.now();
    try {
      const query = new URLSearchParams({ kind, account: side.account });
      const headers = { "content-type": "application/json", "X-CSRFToken": form.elements.csrfmiddlewaretoken.value };
      const body = JSON.stringify(bodyFor(kind, side.model));
      const response = await fetch(`${form.dataset.run}?${query}`, { method: "POST", headers, body, signal: controller.signal });
      if (!response.ok) {
        await refused(made, response, began);
        return;
      }
      await read(kind, made, response);
    } catch (error) {
      if (controller.signal.aborted) end(made, "stopped", "warn");
      else end(made, "broken off", "bad");
      showFacts(made, [["After", duration(performance.now() - began)], ["Error", controller.signal.aborted ? "" : String(error.message)]]);
    }
  }

  async function refused(made, response, began) {
    let message = "";
    try {
      message = (await response.json()).error?.message ?? "";
    } catch {
      message = "The answer is not JSON.";
    }
    end(made, `error ${response.status}`, "bad");
    const page = make("a", "everything about it");
    const id = response.headers.get("x-patchbay-request-id");
    if (id) page.href = form.dataset.request.replace("ID", encodeURIComponent(id));
    showFacts(made, [["Error", message], ["After", duration(performance.now() - began)], ["", id ? page : null]]);
  }

  async function read(kind, made, response) {
    end(made, "streaming", "info");
    let error = "";
    let record = null;
    for await (const event of eventsOf(response)) {
      if (event.name === RECORD) {
        record = event.data;
        continue;
      }
      const piece = READERS[kind](event.data);
      error = piece.error ?? error;
      if (piece.text) made.answer.append(piece.text);
      if (piece.thinking) {
        made.thinking.hidden = false;
        made.thought.append(piece.thinking);
      }
    }
    if (record) showRecord(made, record);
    if (error && !record) showFacts(made, [["Error", error]]);
    const isGood = !error && (!record || record.outcome === "ok");
    end(made, isGood ? "done" : record?.outcome ?? "error", isGood ? "ok" : "bad");
  }

  // --- sending -------------------------------------------------------------------------------------------------------

  async function send(event) {
    event.preventDefault();
    const kind = form.elements.kind.value;
    const sides = [...document.querySelectorAll(".side")].map((side) => ({
      model: side.querySelector("[name=model]").value.trim(),
      account: side.querySelector("[name=account]").value,
    }));
    $("answers").replaceChildren();
    if (data.replay) showOriginal();
    if (data.replay && !isJson(form.elements.body.value)) {
      end(card("Not sent"), "The request is not valid JSON.", "bad");
      return;
    }
    running = sides.map(() => new AbortController());
    $("send").disabled = true;
    $("stop").disabled = false;
    await Promise.all(sides.map((side, index) => ask(kind, side, running[index])));
    $("send").disabled = false;
    $("stop").disabled = true;
  }

  function isJson(text) {
    try {
      const found = JSON.parse(text);
      return found !== null && typeof found === "object" && !Array.isArray(found);
    } catch {
      return false;
    }
  }

  function showOriginal() {
    const { record, answer, isKept } = data.replay;
    const made = card(`${record.modelAsked}, as it was`);
    made.answer.textContent = isKept ? answer : "The answer was not kept.";
    end(made, record.outcome, record.outcome === "ok" ? "ok" : "bad");
    showRecord(made, record);
  }

  form.addEventListener("submit", send);
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  $("add").addEventListener("click", () => addSide(""));
  $("stop").addEventListener("click", () => running.forEach((controller) => controller.abort()));
  window.addEventListener("pagehide", () => running.forEach((controller) => controller.abort()));
  addSide(data.replay?.record.modelAsked ?? data.first);
  if (data.replay) {
    form.elements.body.value = JSON.stringify(data.replay.body, null, 2);
    showOriginal();
  }
}
