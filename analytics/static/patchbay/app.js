// What every page of the dashboard does: the choice of colours, and a look for news while somebody looks.
"use strict";
{
  const NAMES = { auto: "System", light: "Light", dark: "Dark" };
  const REFRESH_MS = 5000;

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

  function refresh() {
    if (document.visibilityState === "visible" && window.htmx && !isBeingRead()) {
      window.htmx.trigger(document.body, "refresh");
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
      setInterval(refresh, REFRESH_MS);
      document.addEventListener("visibilitychange", refresh);
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    document.dispatchEvent(new Event("themechange"));
  });
}
