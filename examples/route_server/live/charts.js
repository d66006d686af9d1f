// Small charts of the last minute, drawn by uPlot, each with a sentence for screen readers.

/* global uPlot */

/** The seconds that a chart shows. */
export const SPAN = 60;

const AXIS_WIDTH = 52;
const ROOM_ABOVE = 6;
/** The resolution of the server's times. */
const LEAST_MS = 1e-3;

/** Returns a current colour of the style sheet, light or dark. */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Returns two or three numbers for the axis from 0 to `most`. */
function linearSplits(most, whole) {
  if (whole && most <= 4) {
    return most <= 1 ? [0, 1] : [0, Math.ceil(most / 2), 2 * Math.ceil(most / 2)];
  }
  const size = 10 ** Math.floor(Math.log10(most));
  const half = [0.5, 1, 2, 2.5, 5].map((n) => n * size).find((n) => 2 * n >= most) ?? 5 * size;
  return [0, half, 2 * half];
}

/** Returns the powers of ten around the shown values, which are logarithms. */
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

/** Formats a power of ten, in milliseconds, as a time. */
function tick(power) {
  const [unit, of] = power >= 3 ? ["s", 3] : power >= 0 ? ["ms", 0] : ["µs", -3];
  return `${Math.round(10 ** (power - of))} ${unit}`;
}

export class Chart {
  /**
   * @param place the element that the chart fills
   * @param how `name`; `lines` (each `{read, name, colour, fill}`; `read` returns a number or
   *   null); `text` (formats a number); `whole` (whole numbers, drawn in steps); `log` (times on a
   *   logarithmic scale)
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

  /** Draws the samples. The last one is the newest; a sample without figures is a gap. */
  draw(samples) {
    const { lines, log, whole } = this.how;
    const scaled = (value) =>
      log && value !== null ? Math.log10(Math.max(value, LEAST_MS)) : value;
    const times = samples.map((sample) => sample.seconds);
    const columns = lines.map((line) =>
      samples.map((sample) => (sample.gap ? null : scaled(line.read(sample)))),
    );
    const known = columns.flat().filter((value) => value !== null);
    this.now = times.at(-1) ?? 0;
    if (log) {
      const range = known.length > 0 ? [Math.min(...known), Math.max(...known)] : [-3, 0];
      [this.splits, this.top] = logSplits(...range);
    } else {
      this.splits = linearSplits(Math.max(...known, 1), whole);
      this.top = this.splits.at(-1);
    }
    this.plot.setData([times, ...columns]);
  }

  /** Draws the same samples in the current colours. */
  recolour() {
    this.plot.redraw(false, true);
  }

  /** Describes the chart in a sentence. */
  describe(samples) {
    const { name, lines, text } = this.how;
    const sentences = lines.map((line) => {
      const values = samples.filter((sample) => !sample.gap).map(line.read);
      const known = values.filter((value) => value !== null);
      if (known.length === 0) {
        return `${line.name}: no data yet`;
      }
      const [now, least, most] = [known.at(-1), Math.min(...known), Math.max(...known)].map(text);
      return `${line.name}: now ${now}, minimum ${least}, maximum ${most}`;
    });
    const label = `Chart: ${name}, the last minute. ${sentences.join(". ")}.`;
    this.place.setAttribute("aria-label", label);
  }
}
