//! The figures of a run: kept in a file, and compared with those of another run.
//!
//! A figure that came from many slices of time carries how far its mean may be off by chance. Another run differs where it
//! is farther away than both may be off together, and by more than a share that no run of this bench can tell apart.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Error;
use crate::out::say;

/// Format of the file.
const VERSION: u32 = 1;

/// What a figure is, and which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    /// Per second.
    Rate,
    /// Share of a ceiling that was measured in the same run.
    Share,
    /// Microseconds.
    Micros,
    /// Bytes.
    Bytes,
    /// Per second, of the bare machine: it judges no build.
    Ceiling,
}

impl Unit {
    fn more_is_better(self) -> bool {
        matches!(self, Self::Rate | Self::Share)
    }

    /// The share below which a difference tells nothing, whatever the slices say: layout of the binary, neighbours, heat.
    fn indistinct(self) -> f64 {
        match self {
            Self::Bytes => 0.01,
            Self::Rate | Self::Share | Self::Micros | Self::Ceiling => 0.05,
        }
    }
}

/// One figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Figure {
    pub(super) value: f64,
    /// How far the value may be off by chance, in its own unit: two standard errors; 0 where it was measured once.
    pub(super) noise: f64,
    pub(super) unit: Unit,
}

impl Figure {
    /// A figure that was measured once.
    pub(super) fn once(value: f64, unit: Unit) -> Self {
        Self { value, noise: 0.0, unit }
    }

    /// A figure with its value in each slice of the time.
    pub(super) fn sliced(value: f64, slices: &[f64], unit: Unit) -> Self {
        Self { value, noise: noise(slices), unit }
    }

    /// This figure as a share of a ceiling; both may be off.
    pub(super) fn share_of(self, ceiling: Self) -> Self {
        if self.value <= 0.0 || ceiling.value <= 0.0 {
            return Self::once(0.0, Unit::Share);
        }
        let relative = (self.noise / self.value).hypot(ceiling.noise / ceiling.value);
        let value = self.value / ceiling.value;
        Self { value, noise: value * relative, unit: Unit::Share }
    }

    /// How many times the old value it is; `None`: as far as can be told they are the same.
    fn moved_from(self, old: Self) -> Option<f64> {
        let apart = (self.value - old.value).abs();
        let by_chance = self.noise.hypot(old.noise).max(old.value.abs() * self.unit.indistinct());
        (apart > by_chance && old.value > 0.0).then(|| self.value / old.value)
    }
}

/// Two standard errors of the mean of these values.
fn noise(slices: &[f64]) -> f64 {
    if slices.len() < 2 {
        return 0.0;
    }
    #[allow(clippy::cast_precision_loss)]
    let count = slices.len() as f64;
    let mean = slices.iter().sum::<f64>() / count;
    let variance = slices.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    2.0 * (variance / count).sqrt()
}

/// What must be equal in two runs that are compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) seconds: u64,
    pub(super) registration_seconds: u64,
    pub(super) connections: u16,
    pub(super) workers: u16,
    pub(super) database: bool,
}

/// The figures of one run, by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Figures {
    version: u32,
    settings: Settings,
    figures: BTreeMap<String, Figure>,
}

impl Figures {
    pub(super) fn new(settings: Settings) -> Self {
        Self { version: VERSION, settings, figures: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, name: &str, figure: Figure) {
        self.figures.insert(name.to_owned(), figure);
    }

    /// Writes the figures to a file, in place of what is there.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn save(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).map_err(std::io::Error::other)?;
        Ok(std::fs::write(path, text + "\n")?)
    }

    /// Reads what [`Figures::save`] wrote.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub(super) fn load(path: &Path) -> Result<Self, Error> {
        let unreadable = |why: String| Error::Kept { path: path.into(), why };
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        let kept: Self = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        match kept.version {
            VERSION => Ok(kept),
            other => Err(unreadable(format!("it is of version {other}, and this build reads version {VERSION}"))),
        }
    }

    /// Refuses a kept run that was measured with other settings.
    ///
    /// # Errors
    /// The settings differ.
    pub(super) fn comparable(&self, path: &Path, settings: &Settings) -> Result<(), Error> {
        if self.settings == *settings {
            return Ok(());
        }
        let why = format!("it was measured with other settings: {:?} there, {settings:?} here", self.settings);
        Err(Error::Kept { path: path.into(), why })
    }

    /// Says which figures moved since a kept run, and how many did not.
    pub(super) fn compare(&self, kept: &Self) {
        let (mut same, mut moved) = (0, 0);
        for (name, new) in &self.figures {
            let Some(old) = kept.figures.get(name) else {
                say!("{name:<44} is new: {}", shown(*new));
                continue;
            };
            match new.moved_from(*old) {
                None => same += 1,
                Some(times) => {
                    moved += 1;
                    let verdict = match (new.unit, (times > 1.0) == new.unit.more_is_better()) {
                        (Unit::Ceiling, _) => "the machine",
                        (_, true) => "better",
                        (_, false) => "WORSE",
                    };
                    say!("{name:<44} {verdict}: {} → {}  = {times:.2} ×", shown(*old), shown(*new));
                }
            }
        }
        for name in kept.figures.keys().filter(|name| !self.figures.contains_key(*name)) {
            say!("{name:<44} is not measured any more");
        }
        say!("{moved} figures moved beyond noise, {same} did not");
    }
}

fn shown(figure: Figure) -> String {
    let Figure { value, noise, unit } = figure;
    let (value, noise) = match unit {
        Unit::Rate | Unit::Ceiling => (format!("{value:.0}/s"), format!("{noise:.0}")),
        Unit::Share => (format!("{value:.3}"), format!("{noise:.3}")),
        Unit::Micros if value >= 10_000.0 => (format!("{:.1} ms", value / 1_000.0), format!("{:.1}", noise / 1_000.0)),
        Unit::Micros => (format!("{value:.1} µs"), format!("{noise:.1}")),
        Unit::Bytes => (format!("{value:.0} B"), format!("{noise:.0}")),
    };
    if figure.noise > 0.0 { format!("{value} ± {noise}") } else { value }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { seconds: 5, registration_seconds: 60, connections: 64, workers: 2, database: false }
    }

    #[test]
    fn what_lies_within_the_noise_of_both_runs_has_not_moved() {
        let old = Figure::sliced(100.0, &[60.0, 140.0, 70.0, 130.0], Unit::Rate);
        assert!(old.noise > 30.0);
        assert_eq!(Figure { value: 130.0, ..old }.moved_from(old), None);
        assert_eq!(Figure { value: 160.0, ..old }.moved_from(old), Some(1.6));
    }

    #[test]
    fn a_steady_figure_moves_only_beyond_what_no_run_can_tell_apart() {
        let old = Figure::sliced(100.0, &[100.0; 10], Unit::Micros);
        assert_eq!(old.noise, 0.0);
        assert_eq!(Figure { value: 104.0, ..old }.moved_from(old), None);
        assert_eq!(Figure { value: 110.0, ..old }.moved_from(old), Some(1.1));
        let bytes = Figure::once(100.0, Unit::Bytes);
        assert_eq!(Figure { value: 102.0, ..bytes }.moved_from(bytes), Some(1.02));
    }

    #[test]
    fn a_share_may_be_off_by_as_much_as_both_of_its_parts() {
        let of = |value, noise| Figure { value, noise, unit: Unit::Rate };
        let share = of(50.0, 3.0).share_of(of(100.0, 8.0));
        assert!((share.value - 0.5).abs() < 1e-9 && (share.noise - 0.05).abs() < 1e-9, "{share:?}");
    }

    #[test]
    fn figures_are_read_back_as_they_were_saved_and_other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.json");
        let mut figures = Figures::new(settings());
        figures.add("register p99", Figure::sliced(12_000.0, &[11_000.0, 13_000.0], Unit::Micros));
        figures.save(&path).unwrap();
        assert_eq!(Figures::load(&path).unwrap(), figures);
        figures.comparable(&path, &settings()).unwrap();
        let short = Settings { registration_seconds: 5, ..settings() };
        let refused = figures.comparable(&path, &short).unwrap_err().to_string();
        assert!(refused.contains("other settings"), "{refused}");

        std::fs::write(&path, r#"{"version": 2, "settings": {}, "figures": {}}"#).unwrap();
        assert!(Figures::load(&path).is_err());
        let newer = Figures { version: 2, ..figures };
        newer.save(&path).unwrap();
        assert!(Figures::load(&path).unwrap_err().to_string().contains("version 2"));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(Figures::load(&path), Err(Error::Kept { .. })));
    }
}
