// What every page of the dashboard does: the choice of colours, and fresh parts while somebody looks.
"use strict";
{
  const NAMES = { auto: "System", light: "Light", dark: "Dark" };
  const LOOK_MS = 30000; // without word of the server
  const REST_MS = 1000; // between two looks, and nine times as long as the last one took

  function setTheme(theme) {
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // Storage is off: the choice lasts as long as the page.
    }
    showTheme();
    document.dispatchEvent(new Event("themechange"));
  }

  function showTheme() {
    const name = NAMES[document.documentElement.dataset.theme];
    for (const button of document.querySelectorAll("[data-theme-toggle]")) {
      button.setAttribute("aria-label", `Colours: ${name}. Change`);
      button.querySelector("[data-theme-name]").textContent = name;
    }
  }

  // Parts that want fresh data say hx-trigger="refresh from:body". Nothing moves under a reader's cursor: a part
  // that has the focus, or in which text is selected, stays as it is.
  function isBeingRead() {
    const parts = [...document.querySelectorAll("[data-fresh]")];
    const selection = document.getSelection();
    const anchor = selection && !selection.isCollapsed ? selection.anchorNode : null;
    return parts.some((part) => part.contains(document.activeElement) || (anchor && part.contains(anchor)));
  }

  let asked = 0; // moment of the look that runs
  let restsUntil = 0;
  let later = 0; // timer of the next look

  function refresh() {
    if (document.visibilityState !== "visible" || !window.htmx || later) return;
    const rest = asked || isBeingRead() ? REST_MS : restsUntil - performance.now();
    if (rest > 0) {
      later = setTimeout(() => { later = 0; refresh(); }, rest);
    } else {
      window.htmx.trigger(document.body, "refresh");
    }
  }

  function asks({ target }) {
    if (target.matches("[data-fresh]")) asked = performance.now();
  }

  function answered({ target }) {
    if (!target.matches("[data-fresh]")) return;
    const now = performance.now();
    restsUntil = now + Math.max(REST_MS, 9 * (now - asked));
    asked = 0;
  }

  document.addEventListener("htmx:beforeRequest", asks);
  document.addEventListener("htmx:afterRequest", answered);

  // The server says when something began or ended. Without it there is a look now and then, which also sees what only
  // time changes; a page that nobody sees does not listen.
  let socket = null;

  function listen() {
    if (socket || document.visibilityState !== "visible") return;
    socket = new WebSocket(`${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/ws/live?news`);
    socket.addEventListener("message", refresh);
    socket.addEventListener("close", (event) => { if (event.target === socket) socket = null; });
  }

  function seen() {
    if (document.visibilityState === "visible") {
      refresh();
      listen();
    } else if (socket) {
      socket.close();
      socket = null;
    }
  }

  // What somebody unfolded or scrolled sideways is as it was after the part has been renewed.
  const unfolded = new Set();
  let scrolled = [];

  function remember(part) {
    unfolded.clear();
    for (const one of part.querySelectorAll("details[id][open]")) unfolded.add(one.id);
    scrolled = [...part.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
  }

  function restore(part) {
    for (const one of part.querySelectorAll("details[id]")) one.open = one.open || unfolded.has(one.id);
    [...part.querySelectorAll(".scroll")].forEach((one, index) => { one.scrollLeft = scrolled[index] ?? 0; });
  }

  document.addEventListener("htmx:beforeSwap", ({ target }) => target.matches("[data-fresh]") && remember(target));
  document.addEventListener("htmx:afterSwap", ({ target }) => target.matches("[data-fresh]") && restore(target));

  // On a phone the navigation is a strip that scrolls: it begins where we are.
  function showPlace() {
    const here = document.querySelector(".topbar [aria-current]");
    const strip = here && here.closest("nav");
    if (strip) strip.scrollLeft = here.offsetLeft - (strip.clientWidth - here.offsetWidth) / 2;
  }

  document.addEventListener("DOMContentLoaded", () => {
    showTheme();
    showPlace();
    for (const button of document.querySelectorAll("[data-theme-toggle]")) {
      button.addEventListener("click", () => {
        const order = Object.keys(NAMES);
        const now = order.indexOf(document.documentElement.dataset.theme);
        setTheme(order[(now + 1) % order.length]);
      });
    }
    if (document.querySelector("[data-fresh]")) {
      listen();
      setInterval(seen, LOOK_MS);
      document.addEventListener("visibilitychange", seen);
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    document.dispatchEvent(new Event("themechange"));
  });
}
