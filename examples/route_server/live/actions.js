// The buttons and the lookup. Each form sends its request and shows the answer below itself.

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
    throw new Error(body.error ?? `the server answered with status ${answer.status}`);
  }
  return body;
}

const post = (path, fields = {}) => {
  const query = new URLSearchParams(fields).toString();
  return ask(query ? `${path}?${query}` : path, "POST");
};

/** Each form's request, and the text of its answer. */
const FORMS = {
  lookup: {
    send: ({ address }) => ask(`/lookup/${encodeURIComponent(address.trim())}`, "GET"),
    say: (a) => `${a.start} to ${a.end}: AS${a.asn} ${a.organisation} (version ${a.version})`,
  },
  reload: {
    send: () => post("/reload"),
    say: (a) =>
      `Version ${a.version} is in use: ${size(a.table.bytes)}, loaded in ${time(a.table.load_ms)}.`,
  },
  hold: {
    send: ({ seconds, polite }) => post("/hold", { seconds, polite: polite === "on" }),
    say: ({ version, seconds, polite }) =>
      `Version ${version} is held for ${time(seconds * 1000)}${polite ? ", or until asked" : ""}.`,
  },
  flood: {
    send: ({ callbacks }) => post("/flood", { callbacks }),
    say: (a) => `${plural(a.callbacks, "callback")} queued; ${count(a.pending)} pending.`,
  },
  force: {
    send: () => post("/force"),
    say: (a) =>
      `Forced with ${plural(a.pending, "callback")} pending and ` +
      `${plural(a.held_guards, "guard")} held.`,
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
      // `disabled` would take the focus away.
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

/** Sets the server's bounds on the inputs. */
export function bound({ hold_seconds: [least, most], callbacks }) {
  Object.assign(document.getElementById("seconds"), { min: least, max: most });
  document.getElementById("callbacks").max = callbacks;
}
