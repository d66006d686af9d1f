//! Histograms of latencies as SVG. Each kind has a panel: time on a logarithmic scale, and the
//! share of all measurements. The colours follow the viewer's colour scheme.

use super::latency::{BINS, Kind, Times, bins, human};
use std::fmt::Write;

const WIDTH: f64 = 720.0;
const PANEL: f64 = 218.0;
const TOP: f64 = 40.0;
/// The margins of the plot within a panel.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 36.0;
const ABOVE: f64 = 42.0;
const BELOW: f64 = 46.0;

const STYLE: &str = "
  svg { --page: #ffffff; --ink: #1f2328; --faint: #d0d7de; --bar: #1f6f8b; --mark: #b3470b }
  @media (prefers-color-scheme: dark) {
    svg { --page: #0d1117; --ink: #e6edf3; --faint: #30363d; --bar: #58b4d1; --mark: #f0883e }
  }
  .page { fill: var(--page) } text { fill: var(--ink); font: 12px sans-serif }
  .title { font-size: 14px; font-weight: bold }
  .grid { stroke: var(--faint) } .axis { stroke: var(--ink) } .bar { fill: var(--bar) }
  .mark { stroke: var(--mark); stroke-dasharray: 4 3 } text.marked { fill: var(--mark) }
";

/// Returns the SVG document.
pub(super) fn draw(title: &str, all: &[(Kind, Times)]) -> String {
    let height = TOP + PANEL * all.len().max(1) as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"100%\" height=\"100%\"/>\n"
    );
    text(&mut svg, "title", "start", 12.0, 24.0, title);
    for (row, (kind, times)) in all.iter().enumerate() {
        panel(&mut svg, TOP + PANEL * row as f64, *kind, times);
    }
    svg.push_str("</svg>\n");
    svg
}

fn text(svg: &mut String, class: &str, anchor: &str, x: f64, y: f64, what: &str) {
    let what = what.replace('&', "&amp;").replace('<', "&lt;");
    // Writing to a string cannot fail.
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{what}</text>"
    );
}

fn line(svg: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(
        svg,
        "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
    );
}

fn panel(svg: &mut String, top: f64, kind: Kind, times: &Times) {
    let bins = bins(times);
    let Some(first) = bins.first() else { return };
    let (left, right) = (LEFT, WIDTH - RIGHT);
    let (upper, bottom) = (top + ABOVE, top + PANEL - BELOW);
    let count = times.len() as f64;
    let title = format!("{}: {} ({} times)", kind.name(), kind.about(), times.len());
    text(svg, "", "start", left, top + 18.0, &title);

    // The scale has whole decades, so that the lines have round numbers.
    let last = bins.last().map_or(first.from, |bin| bin.from);
    let low = first.from.log10().floor();
    let high = (last.log10() + 1.0 / f64::from(BINS)).ceil().max(low + 1.0);
    let x = |nanoseconds: f64| left + (nanoseconds.log10() - low) / (high - low) * (right - left);
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(1) as f64 / count;
    let y = |share: f64| bottom - share / most * (bottom - upper);

    for decade in low as i32..=high as i32 {
        let at = 10_f64.powi(decade);
        line(svg, "grid", (x(at), upper), (x(at), bottom));
        text(svg, "", "middle", x(at), bottom + 16.0, &human(at));
    }
    for share in [most / 2.0, most] {
        line(svg, "grid", (left, y(share)), (right, y(share)));
        let label = format!("{:.1}%", share * 100.0);
        text(svg, "", "end", left - 6.0, y(share) + 4.0, &label);
    }
    text(svg, "", "end", left - 6.0, bottom + 4.0, "0%");
    for bin in &bins {
        let share = bin.count as f64 / count;
        let (from, to) = (x(bin.from), x(bin.from * 10_f64.powf(1.0 / f64::from(BINS))));
        if bin.count != 0 {
            let (width, tall) = ((to - from - 1.0).max(1.0), (bottom - y(share)).max(0.5));
            let from_top = bottom - tall;
            let _ = writeln!(
                svg,
                "<rect class=\"bar\" x=\"{from:.1}\" y=\"{from_top:.1}\" width=\"{width:.1}\" \
                 height=\"{tall:.1}\"/>"
            );
        }
    }
    // The labels of the lines are to the left and to the right: two lines may be close together.
    for (name, quantile, anchor, aside) in [("p50", 0.5, "end", -2.0), ("p99", 0.99, "start", 2.0)]
    {
        let at = x(times.value_at_quantile(quantile).max(1) as f64).min(right);
        line(svg, "mark", (at, upper - 8.0), (at, bottom));
        text(svg, "marked", anchor, at + aside, upper - 3.0, name);
    }
    line(svg, "axis", (left, bottom), (right, bottom));
    line(svg, "axis", (left, upper), (left, bottom));
    text(svg, "", "middle", (left + right) / 2.0, bottom + 32.0, "time, logarithmic");
    let (px, py) = (16.0, (upper + bottom) / 2.0);
    let _ = writeln!(
        svg,
        "<text text-anchor=\"middle\" transform=\"translate({px:.1} {py:.1}) \
         rotate(-90)\">share of all</text>"
    );
}
