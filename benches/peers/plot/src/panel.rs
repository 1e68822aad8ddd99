//! One panel: two lines over a logarithmic axis, with their names at them.

use anyhow::Result;
use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::element::{Circle, EmptyElement, Text};
use plotters::prelude::{DrawingArea, LineSeries, RGBColor, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, FontDesc, IntoFont as _, TextStyle, WHITE};

/// What is written.
pub(crate) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// Lines of the grid.
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
/// Room above the highest point of a linear axis, and beside the ends of a logarithmic one, as a factor.
const ROOM: f64 = 1.15;
/// Steps of a linear axis, at most.
const STEPS: f64 = 6.0;

/// A named line.
pub(crate) struct Line {
    name: &'static str,
    color: RGBColor,
    points: Vec<(f64, f64)>,
}

impl Line {
    pub(crate) fn new(name: &'static str, color: RGBColor, points: impl Iterator<Item = (f64, f64)>) -> Self {
        Self { name, color, points: points.collect() }
    }
}

/// The least and the greatest of some values.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    least: f64,
    greatest: f64,
}

impl Ends {
    pub(crate) fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        Self { least: values.clone().fold(f64::INFINITY, f64::min), greatest: values.fold(0.0, f64::max) }
    }

    /// The powers of ten between them, with a little room at both.
    pub(crate) fn powers_of_ten(self) -> Vec<f64> {
        let powers = (-3..=9).map(|power| 10.0_f64.powi(power));
        powers.filter(|power| (self.least / 2.0..=self.greatest * 2.0).contains(power)).collect()
    }
}

/// A panel.
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) x: &'static str,
    pub(crate) y: &'static str,
    /// Where the horizontal axis has labels.
    pub(crate) marks: Vec<f64>,
    /// Whether the vertical axis is logarithmic too; it begins at zero otherwise.
    pub(crate) logarithmic: bool,
    pub(crate) lines: [Line; 2],
}

pub(crate) fn style(font: FontDesc<'static>, color: RGBColor) -> TextStyle<'static> {
    TextStyle { color: color.to_backend_color(), ..TextStyle::from(font) }
}

/// An axis: where a value lies on it, and where it has labels.
#[derive(Clone)]
struct Axis {
    logarithmic: bool,
    ends: (f64, f64),
    marks: Vec<f64>,
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let (first, last) = (self.at(self.ends.0), self.at(self.ends.1));
        let share = (self.at(*value) - first) / (last - first);
        #[allow(clippy::cast_possible_truncation)]
        let pixels = (share * f64::from(to - from)).round() as i32;
        from + pixels
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.marks.clone()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.ends.0..self.ends.1
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(value: &f64) -> String {
        match *value {
            millions if millions >= 999_999.0 => format!("{} M", short(millions / 1e6)),
            thousands if thousands >= 1_000.0 => format!("{} k", short(thousands / 1e3)),
            few => short(few),
        }
    }
}

impl Axis {
    /// As far as the values and the labels go.
    fn logarithmic(ends: Ends, marks: &[f64]) -> Self {
        let least = marks.iter().copied().fold(ends.least, f64::min);
        let greatest = marks.iter().copied().fold(ends.greatest, f64::max);
        Self { logarithmic: true, ends: (least / ROOM, greatest * ROOM), marks: marks.to_vec() }
    }

    /// From zero on.
    fn linear(greatest: f64) -> Self {
        let step = step_for(greatest);
        let marks = (0..).map(|mark| f64::from(mark) * step).take_while(|mark| *mark <= greatest * ROOM);
        Self { logarithmic: false, ends: (0.0, greatest * ROOM), marks: marks.collect() }
    }

    fn at(&self, value: f64) -> f64 {
        if self.logarithmic { value.log10() } else { value }
    }
}

/// Without zeros behind a point.
fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// 1, 2 or 5 times a power of ten, so that no more than so many steps reach a value.
fn step_for(greatest: f64) -> f64 {
    let least = greatest / STEPS;
    let power = 10.0_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| *step >= least).unwrap_or(greatest)
}

impl Panel {
    pub(crate) fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<()> {
        let y_ends = Ends::of(self.points().map(|(_, y)| y));
        let across = Axis::logarithmic(Ends::of(self.points().map(|(x, _)| x)), &self.marks);
        let up = if self.logarithmic {
            Axis::logarithmic(y_ends, &y_ends.powers_of_ten())
        } else {
            Axis::linear(y_ends.greatest)
        };
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, style(("sans-serif", 17).into_font(), INK))
            .margin(16)
            .x_label_area_size(46)
            .y_label_area_size(66)
            .build_cartesian_2d(across, up)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(GRID)
            .axis_style(INK)
            .label_style(style(("sans-serif", 13).into_font(), INK))
            .axis_desc_style(style(("sans-serif", 14).into_font(), INK))
            .x_desc(self.x)
            .y_desc(self.y)
            .draw()?;
        for (line, above) in self.lines.iter().zip(self.above()) {
            chart.draw_series(LineSeries::new(line.points.iter().copied(), line.color.stroke_width(2)))?;
            chart.draw_series(line.points.iter().map(|point| Circle::new(*point, 3, line.color.filled())))?;
            // At the point amid the axis.
            if let Some(point) = line.points.get(line.points.len() / 2) {
                // Left of a line that rises to it, or right of one that goes on rising.
                let (position, beside) = if above {
                    (Pos::new(HPos::Right, VPos::Bottom), (-4, -7))
                } else {
                    (Pos::new(HPos::Left, VPos::Top), (4, 7))
                };
                let name = style(("sans-serif", 14).into_font(), line.color).pos(position);
                chart.draw_series([EmptyElement::at(*point) + Text::new(line.name, beside, name)])?;
            }
        }
        Ok(())
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> + Clone {
        self.lines.iter().flat_map(|line| line.points.iter().copied())
    }

    /// Whether the name of each line stands above it: that of the higher one does.
    fn above(&self) -> [bool; 2] {
        let amid = |line: &Line| line.points.get(line.points.len() / 2).map_or(0.0, |(_, y)| *y);
        let [first, second] = &self.lines;
        let first_is_higher = amid(first) >= amid(second);
        [first_is_higher, !first_is_higher]
    }
}
