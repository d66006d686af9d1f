// The figures: their texts and their charts.

import { Chart, SPAN } from "/live/charts.js";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = (n) => whole.format(n);
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

const trimmed = (text) => text.replace(/\.?0+$/, (zeros) => (zeros[0] === "." ? "" : zeros));
const digits = (n) => trimmed(n >= 99.5 ? n.toFixed(0) : n >= 9.95 ? n.toFixed(1) : n.toFixed(2));

/** Formats a time in milliseconds. */
export function time(ms) {
  if (ms < 0.001) {
    return "< 1 µs";
  }
  if (ms < 1) {
    return `${digits(ms * 1000)} µs`;
  }
  if (ms < 1000) {
    return `${digits(ms)} ms`;
  }
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : age(ms);
}

/** Formats a long time in milliseconds, in whole seconds. */
export function age(ms) {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) {
    return `${seconds} s`;
  }
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) {
    return `${minutes} min ${seconds % 60} s`;
  }
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function size(bytes) {
  for (const [unit, least] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (bytes >= least) {
      return `${digits(bytes / least)} ${unit}`;
    }
  }
  return plural(bytes, "byte");
}

const orNone = (say) => (value) => (value === null ? "–" : say(value));

/** The texts of the page for each `data-value` and `data-note`. */
const VALUES = {
  lookups: (s) => orNone(count)(s.lookups_per_s),
  p50: (s) => orNone(time)(s.grace_period_p50_ms),
  p99: (s) => orNone(time)(s.grace_period_p99_ms),
  pending: (s) => count(s.pending),
  guards: (s) => count(s.held_guards),
  version: (s) => `v${s.version}`,
  age: (s) => age(s.age_ms),
  old: (s) => count(s.old_versions),
};

const NOTES = {
  lookups: (s) => `${count(s.lookups)} in all`,
  latency: (s) =>
    s.grace_period_max_ms === null
      ? "no grace period yet"
      : `of ${plural(s.grace_periods, "grace period")}, ${count(s.forced)} forced; ` +
        `longest ${time(s.grace_period_max_ms)}`,
  pending: (s) => `${count(s.finished)} finished in all`,
  guards: (s) =>
    s.oldest_section_ms
      ? `the oldest has been held for ${time(s.oldest_section_ms)}`
      : "no guard blocks a grace period",
  version: (s) =>
    `${size(s.bytes)}, ${plural(s.networks, "network")}, loaded in ${time(s.load_ms)}`,
  old: (s) =>
    s.old_versions === 0
      ? "all old versions are freed"
      : `about ${size(s.bytes * s.old_versions)} cannot be freed yet`,
};

const CHARTS = {
  lookups: {
    name: "lookups per second",
    text: (n) => short.format(n),
    lines: [
      { name: "Lookups per second", read: (s) => s.lookups_per_s, colour: "--first", fill: true },
    ],
  },
  latency: {
    name: "grace-period latency",
    text: time,
    log: true,
    lines: [
      {
        name: "Half of the grace periods took no longer than",
        read: (s) => s.grace_period_p50_ms,
        colour: "--first",
      },
      {
        name: "99 of 100 took no longer than",
        read: (s) => s.grace_period_p99_ms,
        colour: "--second",
      },
    ],
  },
  pending: {
    name: "pending callbacks",
    text: (n) => short.format(n),
    whole: true,
    lines: [{ name: "Callbacks", read: (s) => s.pending, colour: "--first", fill: true }],
  },
  guards: {
    name: "held guards",
    text: count,
    whole: true,
    lines: [{ name: "Guards", read: (s) => s.held_guards, colour: "--first", fill: true }],
  },
  version: {
    name: "age of the version in use, in seconds",
    text: (n) => `${short.format(n)} s`,
    lines: [{ name: "Age", read: (s) => s.age_ms / 1000, colour: "--first", fill: true }],
  },
  old: {
    name: "old versions not yet freed",
    text: count,
    whole: true,
    lines: [{ name: "Versions", read: (s) => s.old_versions, colour: "--first", fill: true }],
  },
};

/** The columns of the table after the first. */
const COLUMNS = [
  VALUES.lookups,
  VALUES.p50,
  VALUES.p99,
  VALUES.pending,
  VALUES.guards,
  VALUES.version,
  VALUES.age,
  (s) => size(s.bytes),
  VALUES.old,
];

/** The seconds between two drawings of the charts with reduced motion. */
const SELDOM = 5;
/** The seconds between two descriptions, which must not change while a screen reader reads them. */
const DESCRIBED_EACH = 5;
const TABLE_STEP = 5;

const texts = (root, kind, all) =>
  Object.entries(all).map(([name, say]) => [root.querySelector(`[data-${kind}="${name}"]`), say]);

export class Figures {
  constructor(root) {
    this.samples = [];
    this.drawn = this.described = -Infinity;
    this.texts = [
      ...texts(root, "value", VALUES),
      ...texts(root, "note", NOTES),
    ];
    this.charts = Object.entries(CHARTS).map(
      ([name, how]) => new Chart(root.querySelector(`[data-chart="${name}"]`), how),
    );
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", () => this.charts.forEach((chart) => chart.recolour()));
  }

  /** Adds a sample. Samples come every `interval` seconds. */
  add(sample, interval) {
    const seconds = sample.up_ms / 1000;
    const last = this.samples.at(-1);
    if (last && seconds < last.seconds) {
      // The server was started again.
      this.samples = [];
      this.drawn = this.described = -Infinity;
    } else if (last && seconds > last.seconds + 4 * interval) {
      this.samples.push({ seconds: (seconds + last.seconds) / 2, gap: true });
    }
    this.samples.push({ ...sample, seconds });
    const first = this.samples.findIndex((kept) => kept.seconds >= seconds - SPAN);
    // The sample before the shown minute is kept too: the line begins there.
    this.samples.splice(0, Math.max(first - 1, 0));

    for (const [element, say] of this.texts) {
      const text = say(sample);
      if (element.textContent !== text) {
        element.textContent = text;
      }
    }
    if (!this.still.matches || seconds >= this.drawn + SELDOM) {
      this.drawn = seconds;
      this.charts.forEach((chart) => chart.draw(this.samples));
    }
    if (seconds >= this.described + DESCRIBED_EACH) {
      this.described = seconds;
      this.charts.forEach((chart) => chart.describe(this.samples));
    }
  }

  /** Fills the table's body. */
  tabulate(body) {
    const known = this.samples.filter((sample) => !sample.gap);
    const now = known.at(-1)?.seconds;
    const rows = [];
    let next = now;
    for (const sample of known.toReversed()) {
      if (sample.seconds > next) {
        continue;
      }
      next = sample.seconds - TABLE_STEP;
      const before = Math.round(now - sample.seconds);
      const row = document.createElement("tr");
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = before === 0 ? "now" : `${before} s`;
      row.append(head);
      for (const say of COLUMNS) {
        row.insertCell().textContent = say(sample);
      }
      rows.push(row);
    }
    body.replaceChildren(...rows);
  }
}
