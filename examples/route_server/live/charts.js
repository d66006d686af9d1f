// Small charts of the last minute, drawn by uPlot; and what they show, in a sentence, for those who do not see them.

/* global uPlot */

/** How many seconds a chart shows. */
export const SPAN = 60;

const AXIS_WIDTH = 52;
const ROOM_ABOVE = 6;
/** The server's times are no finer. */
const LEAST_MS = 1e-3;

/** A colour of the style sheet, as it is now: light or dark. */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Two or three numbers for the axis of 0 to `most`. */
function linearSplits(most, whole) {
  if (whole && most <= 4) {
    return most <= 1 ? [0, 1] : [0, Math.ceil(most / 2), 2 * Math.ceil(most / 2)];
  }
  const size = 10 ** Math.floor(Math.log10(most));
  const half = [0.5, 1, 2, 2.5, 5].map((n) => n * size).find((n) => 2 * n >= most) ?? 5 * size;
  return [0, half, 2 * half];
}

/** Powers of ten around what is shown: the values are logarithms. */
function logSplits(least, most) {
  const first = Math.floor(least);
  const last = Math.max(Math.ceil(most), first + 1);
  const step = Math.max(1, Math.floor((last - first) / 2));
  const splits = [];
  for (let n = first; n <= last; n += step) {
    splits.push(n);
  }
  return [splits, last];
}

/** A power of ten, in milliseconds, as a time. */
function tick(power) {
  const [unit, of] = power >= 3 ? ["s", 3] : power >= 0 ? ["ms", 0] : ["µs", -3];
  return `${Math.round(10 ** (power - of))} ${unit}`;
}

export class Chart {
  /**
   * @param place the element that it fills
   * @param how `name`, `lines` (each `{read, name, colour, fill}`, `read` giving a number or null), `text` (a number in words),
   *   and whether it is of whole numbers (`whole`, drawn in steps), or of times on a logarithmic scale (`log`)
   */
  constructor(place, how) {
    this.place = place;
    this.how = how;
    this.splits = [0, 1];
    this.top = 1;
    place.setAttribute("role", "img");
    this.plot = new uPlot(this.options(), [[], ...how.lines.map(() => [])], place);
    new ResizeObserver(() => this.plot.setSize(this.size())).observe(place);
  }

  size() {
    return { width: Math.max(this.place.clientWidth, 80), height: this.place.clientHeight };
  }

  options() {
    const { lines, whole, log, text } = this.how;
    const font = `11px ${getComputedStyle(document.body).fontFamily}`;
    return {
      ...this.size(),
      padding: [ROOM_ABOVE, 0, 4, 0],
      cursor: { show: false },
      select: { show: false },
      legend: { show: false },
      scales: {
        x: { time: false, range: () => [this.now - SPAN, this.now] },
        y: { range: () => [this.splits[0], this.top] },
      },
      axes: [
        { show: false },
        {
          size: AXIS_WIDTH,
          gap: 6,
          font,
          stroke: () => colour("--quiet"),
          grid: { stroke: () => colour("--rule"), width: 1 },
          ticks: { show: false },
          splits: () => this.splits,
          values: (_, splits) => splits.map(log ? tick : text),
        },
      ],
      series: [
        {},
        ...lines.map((line) => ({
          stroke: () => colour(line.colour),
          fill: line.fill ? () => colour("--wash") : undefined,
          width: 1.75,
          points: { show: false },
          paths: whole ? uPlot.paths.stepped({ align: 1 }) : uPlot.paths.linear(),
        })),
      ],
    };
  }

  /** Draws these samples, of which the last is of now. A sample without figures is a gap. */
  draw(samples) {
    const { lines, log, whole } = this.how;
    const scaled = (value) => (log && value !== null ? Math.log10(Math.max(value, LEAST_MS)) : value);
    const times = samples.map((sample) => sample.seconds);
    const columns = lines.map((line) => samples.map((sample) => (sample.gap ? null : scaled(line.read(sample)))));
    const known = columns.flat().filter((value) => value !== null);
    this.now = times.at(-1) ?? 0;
    if (log) {
      [this.splits, this.top] = known.length > 0 ? logSplits(Math.min(...known), Math.max(...known)) : logSplits(-3, 0);
    } else {
      this.splits = linearSplits(Math.max(...known, 1), whole);
      this.top = this.splits.at(-1);
    }
    this.plot.setData([times, ...columns]);
  }

  /** Draws the same in the colours of now. */
  recolour() {
    this.plot.redraw(false, true);
  }

  /** Says what is drawn, in place of the picture. */
  describe(samples) {
    const { name, lines, text } = this.how;
    const sentences = lines.map((line) => {
      const known = samples.filter((sample) => !sample.gap).map(line.read).filter((value) => value !== null);
      if (known.length === 0) {
        return `${line.name}: nothing yet`;
      }
      const [now, least, most] = [known.at(-1), Math.min(...known), Math.max(...known)].map(text);
      return `${line.name}: now ${now}, least ${least}, most ${most}`;
    });
    this.place.setAttribute("aria-label", `Chart: ${name}, the last minute. ${sentences.join(". ")}.`);
  }
}
