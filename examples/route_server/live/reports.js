// Reports of stalls, and of forces that met guards; the newest first.

import { count, plural, time } from "/live/figures.js";

/** The number of reports that the page keeps. */
const MOST = 20;

const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});

function element(tag, content, className) {
  const made = document.createElement(tag);
  if (className) {
    made.className = className;
  }
  made.append(...[content].flat());
  return made;
}

const SENTENCES = {
  Section: (r) => {
    const sections = plural(r.holders_total, "read-side section");
    return `Grace period blocked for ${time(r.age_ms)} by ${sections}`;
  },
  Callback: (r) => `A callback has been running for ${time(r.age_ms)}`,
  Batch: (r) =>
    `A batch was given to the executor ${time(r.age_ms)} ago and has not been polled since`,
};

function sentence(report) {
  const waiting = `${plural(report.pending, "callback")} pending`;
  if (report.about === "force") {
    return `Force: ${plural(report.holders_total, "read-side section")} asked to end; ${waiting}.`;
  }
  const say = SENTENCES[report.kind];
  if (!say) {
    return report.text;
  }
  const again = report.repeated > 0 ? ` Reported ${plural(report.repeated, "time")} before.` : "";
  return `${say(report)}; ${waiting}.${again}`;
}

function holder(held, places) {
  const unknown = places ? "an unknown place" : "a place that this build does not record";
  const place = held.location
    ? element("code", held.location, "place")
    : element("span", unknown, "place");
  const task = held.task === null ? "" : ` in task ${held.task}`;
  const age = held.age_ms > 0 ? `, held for ${time(held.age_ms)}` : "";
  const what = held.owned ? "An owned guard made at " : "A guard made at ";
  const thread = held.thread ?? "without a name";
  return element("li", [what, place, ` by thread ${thread}${task}${age}`]);
}

export class Reports {
  constructor(list, none) {
    this.list = list;
    this.none = none;
    this.places = true;
  }

  /** Takes the server's settings. */
  hello({ stall_timeout_ms, places }) {
    this.places = places;
    this.none.textContent =
      `None so far. A report comes after a stall of ${time(stall_timeout_ms)}.`;
  }

  add(report) {
    const at = new Date(report.unix_ms);
    const stamp = element("time", clock.format(at));
    stamp.dateTime = at.toISOString();
    const item = element("li", [element("p", [stamp, sentence(report)])], report.about);
    const holders = report.holders.map((held) => holder(held, this.places));
    const more = report.holders_total - holders.length;
    if (more > 0) {
      holders.push(element("li", `and ${count(more)} more`));
    }
    if (holders.length > 0) {
      item.append(element("ul", holders));
    }
    this.put(item);
  }

  missed({ reports }) {
    const text = `${plural(reports, "report")} came faster than this page could take them.`;
    this.put(element("li", text));
  }

  put(item) {
    this.none.hidden = true;
    this.list.prepend(item);
    while (this.list.children.length > MOST) {
      this.list.lastElementChild.remove();
    }
  }
}
