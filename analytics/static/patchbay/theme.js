// Runs before the first paint, so that nobody sees the wrong colours for a moment. The admin remembers its choice under
// the same name: one choice for both.
"use strict";
{
  let chosen = null;
  try {
    chosen = localStorage.getItem("theme");
  } catch {
    // Storage is off: the system's choice it is.
  }
  document.documentElement.dataset.theme = ["light", "dark"].includes(chosen) ? chosen : "auto";
}
