//! A drawing of the memory and the versions over time.

use super::Seen;
use std::fmt::Write;

const WIDTH: f64 = 720.0;
const PANEL: f64 = 200.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 84.0;
const TOP: f64 = 44.0;
const GAP: f64 = 58.0;
const COLORS: [&str; 2] = ["#d9480f", "#1971c2"];

/// Draws two panels with a line for each variant, readable on light and dark.
pub(crate) fn draw(all: &[(&str, Seen)]) -> String {
    let height = TOP + 2.0 * PANEL + GAP + 40.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <title>Memory and living versions over time, \
         with listening and with deaf readers</title>\n\
         <style>text {{ fill: #333 }} line, .frame {{ stroke: #999 }} .paper {{ fill: #fff }} \
         @media (prefers-color-scheme: dark) {{ text {{ fill: #ddd }} \
         line, .frame {{ stroke: #666 }} .paper {{ fill: #161616 }} }}</style>\n\
         <rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\"/>\n"
    );
    let memory = |sample: &(u64, u64, u64)| sample.1 as f64 / 1024.0;
    let alive = |sample: &(u64, u64, u64)| sample.2 as f64;
    panel(&mut svg, all, TOP, "memory, MiB", memory);
    panel(&mut svg, all, TOP + PANEL + GAP, "versions alive", alive);
    svg.push_str("</svg>\n");
    svg
}

fn panel(
    svg: &mut String,
    all: &[(&str, Seen)],
    top: f64,
    title: &str,
    value: impl Fn(&(u64, u64, u64)) -> f64,
) {
    let samples = || all.iter().flat_map(|(_, seen)| &seen.samples);
    let most = rounded(samples().map(&value).fold(1.0, f64::max));
    let seconds = samples().map(|sample| sample.0).max().unwrap_or(1).max(1) as f64 / 1000.0;
    let (right, bottom) = (WIDTH - RIGHT, top + PANEL);
    let mut put = |text: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = svg.write_fmt(text);
    };
    put(format_args!(
        "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"600\">{title}</text>\n",
        top - 12.0
    ));
    for step in 0..=4 {
        let share = f64::from(step) / 4.0;
        let (x, y) = (LEFT + share * (right - LEFT), bottom - share * PANEL);
        put(format_args!(
            "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y}\" y2=\"{y}\" stroke-width=\"0.5\"/>\n"
        ));
        put(format_args!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{:.0}</text>\n",
            LEFT - 8.0,
            y + 4.0,
            share * most
        ));
        put(format_args!(
            "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{:.1} s</text>\n",
            bottom + 20.0,
            share * seconds
        ));
    }
    for ((name, seen), color) in all.iter().zip(COLORS) {
        let place = |sample: &(u64, u64, u64)| {
            let x = LEFT + sample.0 as f64 / 1000.0 / seconds * (right - LEFT);
            (x, bottom - value(sample) / most * PANEL)
        };
        let points: Vec<String> =
            seen.samples.iter().map(place).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        put(format_args!(
            "<polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"2\" points=\"{}\"/>\n",
            points.join(" ")
        ));
        if let Some((_, y)) = seen.samples.last().map(place) {
            put(format_args!(
                "<text x=\"{}\" y=\"{:.1}\" style=\"fill: {color}\">{name}</text>\n",
                right + 8.0,
                y + 4.0
            ));
        }
    }
}

/// Returns the next number above that is divisible into four round steps.
fn rounded(most: f64) -> f64 {
    let power = 10_f64.powf(most.log10().floor());
    let steps = [1.0, 2.0, 4.0, 6.0, 8.0, 10.0];
    steps.map(|step| step * power).into_iter().find(|step| *step >= most).unwrap_or(most)
}
