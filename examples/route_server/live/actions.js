// The buttons and the lookup: each asks the server, and says beneath it what the answer was.

import { count, plural, size, time } from "/live/figures.js";

async function ask(path, method) {
  let answer;
  try {
    answer = await fetch(path, { method, headers: { accept: "application/json" } });
  } catch {
    throw new Error("the server does not answer");
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    throw new Error(body.error ?? `the server answers with status ${answer.status}`);
  }
  return body;
}

const post = (path, fields = {}) => {
  const query = new URLSearchParams(fields).toString();
  return ask(query ? `${path}?${query}` : path, "POST");
};

/** Each form's request, and how its answer is said. */
const FORMS = {
  lookup: {
    send: ({ address }) => ask(`/lookup/${encodeURIComponent(address.trim())}`, "GET"),
    say: (a) => `${a.start} to ${a.end}: AS${a.asn} ${a.organisation} (version ${a.version})`,
  },
  reload: {
    send: () => post("/reload"),
    say: (a) => `Version ${a.version} is in use: ${size(a.table.bytes)}, loaded in ${time(a.table.load_ms)}.`,
  },
  hold: {
    send: ({ seconds, polite }) => post("/hold", { seconds, polite: polite === "on" }),
    say: (a) => `Version ${a.version} is held for ${time(a.seconds * 1000)}${a.polite ? ", or until asked" : ""}.`,
  },
  flood: {
    send: ({ callbacks }) => post("/flood", { callbacks }),
    say: (a) => `${plural(a.callbacks, "callback")} queued; ${count(a.pending)} pending.`,
  },
  force: {
    send: () => post("/force"),
    say: (a) => `Asked, with ${plural(a.pending, "callback")} pending and ${plural(a.held_guards, "guard")} held.`,
  },
};

export function connectForms() {
  for (const [id, { send, say }] of Object.entries(FORMS)) {
    const form = document.getElementById(id);
    const output = document.getElementById(`${id}-answer`);
    const button = form.querySelector("button");
    const input = form.querySelector('input:not([type="checkbox"])');
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (button.getAttribute("aria-busy") === "true") {
        return;
      }
      // Not `disabled`, which would take the focus away.
      button.setAttribute("aria-busy", "true");
      let text;
      let failed = false;
      try {
        text = say(await send(Object.fromEntries(new FormData(form))));
      } catch (error) {
        failed = true;
        text = error.message;
      }
      output.textContent = text;
      output.classList.toggle("failed", failed);
      input?.setAttribute("aria-invalid", String(failed));
      button.removeAttribute("aria-busy");
    });
  }
}

/** Bounds, as the server has them. */
export function bound({ hold_seconds: [least, most], callbacks }) {
  Object.assign(document.getElementById("seconds"), { min: least, max: most });
  document.getElementById("callbacks").max = callbacks;
}
