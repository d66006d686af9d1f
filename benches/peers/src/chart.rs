//! The rows as an SVG. For each candidate the chart shows its median and range as a multiple of
//! this crate's figure, on a logarithmic axis.

use crate::bench::{Figures, Measured, Unit};
use crate::report::figure;
use crate::rows::OURS;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::error::Error;
use std::path::Path;

const COLUMNS: usize = 2;
const WIDTH: i32 = 640;
const LINE: i32 = 19;
const TITLE: i32 = 44;
const GAP: i32 = 22;
/// The end of the names, and the end of the axis.
const NAMES: i32 = 232;
const AXIS_END: i32 = WIDTH - 96;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// The colours on white: of this crate's figures, and of the other libraries' figures.
const OURS_COLOUR: RGBColor = RGBColor(200, 60, 20);
const THEIR_COLOUR: RGBColor = RGBColor(40, 90, 150);
const FAINT: RGBColor = RGBColor(205, 205, 205);
const INK: RGBColor = RGBColor(30, 30, 30);

fn height(row: &Measured) -> i32 {
    TITLE + LINE * row.figures.len() as i32 + GAP
}

pub(crate) fn draw(path: &Path, rows: &[Measured]) -> Drawn {
    let rows: Vec<_> =
        rows.iter().filter(|row| row.entry.unit != Unit::Count && row.figures.len() > 1).collect();
    // Each row goes to the shorter column.
    let mut heights = [8_i32; COLUMNS];
    let mut places = Vec::new();
    for row in rows {
        let column = usize::from(heights[1] < heights[0]);
        places.push((row, column, heights[column]));
        heights[column] += height(row);
    }
    let total = heights.into_iter().max().unwrap_or(8) + 28;
    let size = ((WIDTH * COLUMNS as i32) as u32, total as u32);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    for (row, column, top) in places {
        let area =
            root.clone().shrink((WIDTH * column as i32, top), (WIDTH as u32, height(row) as u32));
        panel(&area, row)?;
    }
    text(
        &root,
        "Dots: medians. Lines: minimum to maximum of all rounds. Logarithmic, as multiples of the \
         first line's median.",
        (12, total - 18),
        12.0,
        HPos::Left,
        INK,
    )?;
    root.present()?;
    Ok(())
}

fn panel(area: &Area, row: &Measured) -> Drawn {
    let unit = row.entry.unit;
    let better = if unit == Unit::MillionsPerSecond { "more is better" } else { "less is better" };
    text(
        area,
        &format!("{} ({}, {better})", row.entry.name, unit.name()),
        (12, 6),
        15.0,
        HPos::Left,
        INK,
    )?;

    let ours = row.figures[0].median();
    let in_range = |f: &Figures| f.median() > 0.0;
    let low = row.figures.iter().filter(|f| in_range(f)).map(Figures::least).fold(ours, f64::min);
    let high = row.figures.iter().map(Figures::most).fold(ours, f64::max);
    let (low, high) = ((low / ours).log10() - 0.05, (high / ours).log10() + 0.05);
    let x = |value: f64| {
        let at = ((value / ours).max(1e-6).log10() - low) / (high - low);
        NAMES + 10 + (at * f64::from(AXIS_END - NAMES - 10)) as i32
    };

    let bottom = TITLE + LINE * row.figures.len() as i32;
    for power in low.ceil() as i32..=high.floor() as i32 {
        let at = x(ours * 10_f64.powi(power));
        area.draw(&PathElement::new(vec![(at, TITLE - 6), (at, bottom)], FAINT))?;
        let label = match power {
            0 => "ours".to_owned(),
            p if p > 0 => format!("{}x", 10_u64.pow(p as u32)),
            p => format!("1/{}", 10_u64.pow(p.unsigned_abs())),
        };
        text(area, &label, (at, TITLE - 20), 11.0, HPos::Center, INK)?;
    }
    for (i, f) in row.figures.iter().enumerate() {
        let y = TITLE + LINE * i as i32 + LINE / 2;
        let colour = if f.name.starts_with(OURS) { OURS_COLOUR } else { THEIR_COLOUR };
        text(area, &f.name, (NAMES, y - 7), 12.0, HPos::Right, colour)?;
        area.draw(&PathElement::new(
            vec![(x(f.least()), y), (x(f.most()), y)],
            colour.stroke_width(2),
        ))?;
        area.draw(&Circle::new((x(f.median()), y), 4, colour.filled()))?;
        text(area, &figure(f.median()), (WIDTH - 84, y - 7), 12.0, HPos::Left, colour)?;
    }
    Ok(())
}

fn text(
    area: &Area,
    what: &str,
    at: (i32, i32),
    size: f64,
    anchor: HPos,
    colour: RGBColor,
) -> Drawn {
    let style =
        ("sans-serif", size).into_text_style(area).color(&colour).pos(Pos::new(anchor, VPos::Top));
    area.draw(&Text::new(what.to_owned(), at, style))?;
    Ok(())
}
