// Stall reports, newest first; and forces that met guards, among them.

import { count, plural, time } from "/live/figures.js";

/** So many are kept in the page. */
const MOST = 20;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

function element(tag, content, className) {
  const made = document.createElement(tag);
  if (className) {
    made.className = className;
  }
  made.append(...[content].flat());
  return made;
}

const SENTENCES = {
  Section: (r) => `A grace period is held up for ${time(r.age_ms)} by ${plural(r.holders_total, "section")}`,
  Callback: (r) => `A callback runs for ${time(r.age_ms)}`,
  Batch: (r) => `A batch was given to the executor ${time(r.age_ms)} ago, and nobody polls it`,
};

function sentence(report) {
  const waiting = `${plural(report.pending, "callback")} pending`;
  if (report.about === "force") {
    return `Force: ${plural(report.holders_total, "section")} asked to end; ${waiting}.`;
  }
  const say = SENTENCES[report.kind];
  if (!say) {
    return report.text;
  }
  const again = report.repeated > 0 ? ` Reported before: ${plural(report.repeated, "time")}.` : "";
  return `${say(report)}; ${waiting}.${again}`;
}

function holder(held, places) {
  const place = held.location
    ? [element("code", held.location, "place")]
    : [element("span", places ? "a place that is not known" : "a place that this build does not record (--features locations)", "place")];
  const task = held.task === null ? "" : ` in task ${held.task}`;
  const age = held.age_ms > 0 ? `, for ${time(held.age_ms)}` : "";
  const what = held.owned ? "A guard made at " : "A section opened at ";
  return element("li", [what, ...place, ` by thread ${held.thread ?? "without a name"}${task}${age}`]);
}

export class Reports {
  constructor(list, none) {
    this.list = list;
    this.none = none;
    this.places = true;
  }

  /** What the server says of itself. */
  hello({ stall_timeout_ms, places }) {
    this.places = places;
    this.none.textContent = `None so far. What holds up a grace period for ${time(stall_timeout_ms)} is named here.`;
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
    this.put(element("li", `${plural(reports, "report")} came faster than this page could take them.`));
  }

  put(item) {
    this.none.hidden = true;
    this.list.prepend(item);
    while (this.list.children.length > MOST) {
      this.list.lastElementChild.remove();
    }
  }
}
