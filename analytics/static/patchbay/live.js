// The live page: requests as they happen, over a WebSocket. Whatever clients and providers have sent stands in text
// nodes only; nothing here makes markup of data.
"use strict";
{
  const MOST_ENDED = 100;
  const FIRST_WAIT_MS = 500;
  const LONGEST_WAIT_MS = 15000;
  const LOGGED_OUT = 4401;
  const ASK_AGAIN_MS = 4000;
  const { DASH, bytes, cause, cost, duration, make, model, servedBy, tokens } = Patchbay;

  const $ = (id) => document.getElementById(id);
  const form = $("filter");
  const running = new Map(); // id → request
  const ended = []; // newest first
  const rows = new Map(); // id → its table row
  let socket = null;
  let wait = FIRST_WAIT_MS;
  let isPaused = false;
  let isDrawing = false;
  let opened = null; // id of the request in the dialog

  // --- words -----------------------------------------------------------------------------------------------------

  const TONES = { ok: "ok", cancelled: "", rejected: "warn" };
  const PHASES = { choosing: "choosing an account", waiting: "waiting for the answer", streaming: "streaming" };

  // --- building ----------------------------------------------------------------------------------------------------

  function cell(row, content, className) {
    const made = make("td", undefined, className);
    made.append(content);
    row.append(made);
    return made;
  }

  function opener(request) {
    const button = make("button", model(request), "link clip");
    button.type = "button";
    button.title = model(request);
    button.addEventListener("click", () => open(request.id));
    return button;
  }

  function endedRow(request) {
    const row = make("tr");
    const at = new Date(request.startedAt).toLocaleTimeString([], { hour12: false });
    cell(row, at, "nowrap c-when");
    const tone = TONES[request.outcome] ?? "bad";
    const status = request.status === null ? "" : `${request.status} `;
    cell(row, make("span", status + request.outcome, `tag ${tone}`), "nowrap c-ended");
    const named = cell(row, opener(request), "c-model");
    if (request.error) named.append(make("span", cause(request.error), "quiet small line"));
    cell(row, servedBy(request), "nowrap c-served");
    cell(row, request.key || DASH, "nowrap c-key");
    cell(row, duration(request.durationMs), "number c-took");
    cell(row, duration(request.ttftMs), "number c-first");
    cell(row, tokens(request), "number c-tokens");
    cell(row, cost(request), "number c-cost");
    return row;
  }

  function runningRow(request) {
    const row = make("tr");
    const parts = {
      age: cell(row, "", "nowrap age c-when"),
      phase: cell(row, make("span", "", "tag info"), "nowrap c-ended"),
      model: cell(row, opener(request), "c-model"),
      served: cell(row, "", "nowrap c-served"),
      key: cell(row, request.key || DASH, "nowrap c-key"),
      sent: cell(row, "", "number c-took"),
      stop: cell(row, "", "number c-cost"),
    };
    if ("mayStop" in form.dataset) parts.stop.append(stopper(request.id));
    row.parts = parts;
    return row;
  }

  function fill(row, request) {
    const { parts } = row;
    set(parts.age, duration(age(request)));
    set(parts.phase.firstChild, PHASES[request.phase] ?? request.phase);
    set(parts.model.firstChild, model(request));
    set(parts.served, servedBy(request));
    set(parts.sent, request.bytes ? bytes(request.bytes) : DASH);
  }

  function set(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  const age = (request) => request.ageMs + (performance.now() - request.heardAt);

  // Two presses: a request that was stopped by mistake cannot be taken up again.
  function stopper(id) {
    const button = make("button", "Stop", "button danger");
    button.type = "button";
    let asked = -Infinity;
    button.addEventListener("click", () => {
      if (performance.now() - asked < ASK_AGAIN_MS) {
        stop(id, button);
        return;
      }
      asked = performance.now();
      button.textContent = "Stop it?";
      setTimeout(() => {
        if (!button.disabled) button.textContent = "Stop";
      }, ASK_AGAIN_MS);
    });
    return button;
  }

  async function stop(id, button) {
    button.disabled = true;
    button.textContent = "Stopping";
    try {
      const token = form.elements.csrfmiddlewaretoken.value;
      const url = form.dataset.stop.replace("ID", encodeURIComponent(id));
      const answer = await fetch(url, { method: "POST", headers: { "X-CSRFToken": token } });
      const told = await answer.json();
      if (!told.stopped) say(told.message);
    } catch {
      say("The request could not be stopped: Patchbay does not answer, or the login has ended.");
    }
    button.disabled = false;
    button.textContent = "Stop";
  }

  // --- drawing: once a frame, and only what has changed ------------------------------------------------------------

  function draw() {
    if (isDrawing) return;
    isDrawing = true;
    requestAnimationFrame(() => {
      isDrawing = false;
      drawRunning();
      drawEnded();
      drawOpened();
    });
  }

  function drawRunning() {
    const listed = [...running.values()].sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1));
    arrange($("running"), listed, (request) => {
      const row = rows.get(request.id) ?? runningRow(request);
      fill(row, request);
      return row;
    });
    set($("running-count"), String(listed.length));
    $("running-none").hidden = listed.length > 0;
    $("running").closest(".scroll").hidden = listed.length === 0;
  }

  function drawEnded() {
    arrange($("ended"), ended, (request) => {
      const row = rows.get(request.id);
      return row && !row.parts ? row : endedRow(request);
    });
    $("ended-none").hidden = ended.length > 0;
    $("ended").closest(".scroll").hidden = ended.length === 0;
  }

  function arrange(body, listed, rowOf) {
    const wanted = new Set();
    let place = body.firstChild;
    for (const request of listed) {
      const row = rowOf(request);
      rows.set(request.id, row);
      row.request = request.id;
      wanted.add(row);
      if (row === place) place = place.nextSibling;
      else body.insertBefore(row, place);
    }
    for (const row of [...body.children]) {
      if (wanted.has(row)) continue;
      row.remove();
      if (rows.get(row.request) === row) rows.delete(row.request);
    }
  }

  // --- one request -------------------------------------------------------------------------------------------------

  const FACTS = {
    id: "Request", startedAt: "Began", kind: "Kind", phase: "Now", outcome: "Ended as", status: "Status", error: "Error",
    modelAsked: "Model asked for", modelUsed: "Model used", backend: "Backend", account: "Account", lane: "Lane",
    key: "Client key", session: "Session", attempts: "Attempts", durationMs: "Took, ms", ttftMs: "First content, ms",
    inputTokens: "Tokens in", cacheReadTokens: "read from cache", cacheWriteTokens: "written to cache",
    outputTokens: "Tokens out", reasoningTokens: "of reasoning", cost: "Cost, $", usageSource: "Usage", bytes: "Bytes sent",
  };

  function open(id) {
    opened = id;
    drawOpened();
    $("one").showModal();
  }

  function drawOpened() {
    const request = opened && (running.get(opened) ?? ended.find((each) => each.id === opened));
    if (!request) return;
    set($("one-title"), model(request));
    const link = $("one-link");
    link.hidden = running.has(opened);
    link.href = form.dataset.request.replace("ID", encodeURIComponent(request.id));
    const facts = Object.entries(FACTS).filter(([name]) => request[name] !== null && request[name] !== undefined);
    $("one-facts").replaceChildren(
      ...facts.flatMap(([name, label]) => [make("dt", label), make("dd", String(request[name]))]),
    );
  }

  // --- the socket --------------------------------------------------------------------------------------------------

  const HEARD = {
    snapshot(message) {
      running.clear();
      for (const request of message.running) keep(request);
      const known = new Set(message.recent.map((request) => request.id));
      const before = ended.filter((request) => !known.has(request.id) && admits(request));
      ended.splice(0, ended.length, ...message.recent.reverse(), ...before);
      ended.length = Math.min(ended.length, MOST_ENDED);
    },
    began: (message) => keep(message.request),
    progress: (message) => keep(message.request),
    ended(message) {
      running.delete(message.request.id);
      if (ended.some((request) => request.id === message.request.id)) return;
      ended.unshift(message.request);
      ended.length = Math.min(ended.length, MOST_ENDED);
    },
    gone: (message) => running.delete(message.request.id),
    lost: (message) => say(`${message.count} changes came faster than this page could show them; it has been brought up to date.`),
  };

  function keep(request) {
    if (ended.some((known) => known.id === request.id)) return;
    running.set(request.id, { ...request, heardAt: performance.now() });
  }

  // The server filters; this is for what was shown before the filter changed.
  function admits(request) {
    const wanted = chosen();
    const models = `${request.modelAsked ?? ""}\n${request.modelUsed ?? ""}`.toLowerCase();
    if (wanted.model && !models.includes(wanted.model.toLowerCase())) return false;
    return ["backend", "account", "key", "outcome"].every((name) => !wanted[name] || request[name] === wanted[name]);
  }

  function connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(`${scheme}//${location.host}/ws/live`);
    socket.addEventListener("open", () => {
      wait = FIRST_WAIT_MS;
      show("connected", "ok");
      sendFilter();
      if (isPaused) send({ do: "pause" });
    });
    socket.addEventListener("message", (event) => {
      const message = JSON.parse(event.data);
      HEARD[message.type]?.(message);
      draw();
    });
    socket.addEventListener("close", (event) => reconnect(event.code));
  }

  function reconnect(code) {
    if (code === LOGGED_OUT) {
      show("logged out", "bad");
      const link = make("a", "Log in again");
      link.href = form.dataset.login;
      $("note").replaceChildren("Your login has ended. ", link, ".");
      return;
    }
    show("not connected", "warn");
    setTimeout(connect, wait * (0.75 + Math.random() / 2));
    wait = Math.min(LONGEST_WAIT_MS, wait * 2);
  }

  function send(wish) {
    if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(wish));
  }

  function show(text, tone) {
    const tag = $("link");
    set(tag, isPaused && tone === "ok" ? "paused" : text);
    tag.className = `tag ${isPaused && tone === "ok" ? "warn" : tone}`;
  }

  let clearing = 0;
  function say(text) {
    $("note").textContent = text;
    clearTimeout(clearing);
    clearing = setTimeout(() => $("note").replaceChildren(), 10000);
  }

  // --- what people do ------------------------------------------------------------------------------------------------

  const NAMES = ["model", "backend", "account", "key", "outcome"];

  function chosen() {
    const found = NAMES.map((name) => [name, form.elements[name].value.trim()]);
    return Object.fromEntries(found.filter(([, value]) => value));
  }

  function sendFilter() {
    send({ do: "filter", filter: chosen() });
  }

  function remember() {
    const query = new URLSearchParams(chosen()).toString();
    history.replaceState(null, "", query ? `?${query}` : location.pathname);
  }

  function recall() {
    for (const [name, value] of new URLSearchParams(location.search)) {
      const field = NAMES.includes(name) ? form.elements[name] : null;
      if (!field) continue;
      if (field.tagName === "SELECT" && ![...field.options].some((option) => option.value === value)) {
        field.append(new Option(value, value));
      }
      field.value = value;
    }
  }

  function filterChanged() {
    remember();
    const left = ended.filter(admits);
    ended.splice(0, ended.length, ...left);
    sendFilter();
    draw();
  }

  let typing = 0;
  form.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(filterChanged, 200);
  });
  form.addEventListener("submit", (event) => event.preventDefault());

  $("pause").addEventListener("click", () => {
    isPaused = !isPaused;
    $("pause").setAttribute("aria-pressed", String(isPaused));
    $("pause").textContent = isPaused ? "Go on" : "Pause";
    send({ do: isPaused ? "pause" : "resume" });
    const isOpen = socket && socket.readyState === WebSocket.OPEN;
    show(isOpen ? "connected" : "not connected", isOpen ? "ok" : "warn");
  });

  $("one-close").addEventListener("click", () => $("one").close());
  $("one").addEventListener("close", () => {
    const row = rows.get(opened);
    opened = null;
    row?.querySelector("button.link")?.focus();
  });

  // Up and down go from request to request.
  document.addEventListener("keydown", (event) => {
    if (!["ArrowUp", "ArrowDown"].includes(event.key) || !event.target.matches("table.live button")) return;
    const buttons = [...document.querySelectorAll("table.live button.link")];
    const at = buttons.indexOf(event.target.closest("tr").querySelector("button.link"));
    const next = buttons[at + (event.key === "ArrowDown" ? 1 : -1)];
    if (!next) return;
    next.focus();
    event.preventDefault();
  });

  setInterval(() => {
    if (isPaused) return;
    for (const request of running.values()) {
      const row = rows.get(request.id);
      if (row?.parts) set(row.parts.age, duration(age(request)));
    }
  }, 250);

  recall();
  draw();
  connect();
}
