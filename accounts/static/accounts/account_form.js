// Shows the fields that the chosen kind of account needs. Without this script every field is there.
"use strict";
{
  const fields = {
    secret: ["api_key", "oauth"],
    token_file: ["token_file"],
    token_path: ["token_file"],
  };

  const update = (kind) => {
    for (const [name, kinds] of Object.entries(fields)) {
      const row = document.querySelector(`.form-row.field-${name}`);
      if (row) {
        row.hidden = !kinds.includes(kind.value);
      }
    }
  };

  document.addEventListener("DOMContentLoaded", () => {
    const kind = document.getElementById("id_kind");
    if (kind && kind.form) {
      kind.addEventListener("change", () => update(kind));
      update(kind);
    }
  });
}
