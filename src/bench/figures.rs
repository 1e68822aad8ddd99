//! The figures of a run: kept in a file beside those of earlier runs, and compared with the runs of another file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Error;

mod comparison;

pub(super) use comparison::Comparison;

/// Format of the file.
const VERSION: u32 = 2;

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
    /// Microseconds below which all but a few of many lie, such as p99: a few more of them move it far.
    Tail,
    /// Bytes.
    Bytes,
    /// Per second, of the bare machine: it judges no build.
    Ceiling,
}

/// One figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Figure {
    pub(super) value: f64,
    /// How far the value may be off by chance within its run, in its own unit: two standard errors of its slices of time; 0
    /// where it was measured once.
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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Figures(BTreeMap<String, Figure>);

impl Figures {
    pub(super) fn add(&mut self, name: &str, figure: Figure) {
        self.0.insert(name.to_owned(), figure);
    }
}

/// The runs of one build on one machine, as a file keeps them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Runs {
    version: u32,
    settings: Settings,
    runs: Vec<Figures>,
}

impl Runs {
    /// No runs.
    pub(super) fn new(settings: Settings) -> Self {
        Self { version: VERSION, settings, runs: vec![] }
    }

    /// One run.
    pub(super) fn with(settings: Settings, run: Figures) -> Self {
        Self { runs: vec![run], ..Self::new(settings) }
    }

    pub(super) fn add(&mut self, run: Figures) {
        self.runs.push(run);
    }

    /// Writes the runs to a file, in place of what is there: all of them, or nothing.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn save(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).map_err(std::io::Error::other)?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        std::fs::write(&beside, text + "\n")?;
        Ok(std::fs::rename(&beside, path)?)
    }

    /// Reads what [`Runs::save`] wrote.
    ///
    /// # Errors
    /// The file cannot be read, holds something else, or runs with other settings.
    pub(super) fn load(path: &Path, settings: &Settings) -> Result<Self, Error> {
        /// Whatever else there is.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let unreadable = |why: String| Error::Kept { path: path.into(), why };
        let text = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        let Versioned { version } = serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
        if version != VERSION {
            return Err(unreadable(format!("it is of version {version}, and this build reads version {VERSION}")));
        }
        let kept: Self = serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
        if kept.settings == *settings {
            return Ok(kept);
        }
        Err(unreadable(format!("it was measured with other settings: {:?} there, {settings:?} here", kept.settings)))
    }

    /// Reads what [`Runs::save`] wrote, or begins a file that does not exist.
    ///
    /// # Errors
    /// As [`Runs::load`].
    pub(super) fn load_or_begin(path: &Path, settings: &Settings) -> Result<Self, Error> {
        if path.try_exists()? { Self::load(path, settings) } else { Ok(Self::new(settings.clone())) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { seconds: 5, registration_seconds: 60, connections: 64, workers: 2, database: false }
    }

    #[test]
    fn a_share_may_be_off_by_as_much_as_both_of_its_parts() {
        let of = |value, noise| Figure { value, noise, unit: Unit::Rate };
        let share = of(50.0, 3.0).share_of(of(100.0, 8.0));
        assert!((share.value - 0.5).abs() < 1e-9 && (share.noise - 0.05).abs() < 1e-9, "{share:?}");
    }

    #[test]
    fn a_run_is_added_to_those_of_a_file_and_other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runs.json");
        for count in 1..=2 {
            let mut runs = Runs::load_or_begin(&path, &settings()).unwrap();
            let mut run = Figures::default();
            run.add("register p99", Figure::sliced(12_000.0, &[11_000.0, 13_000.0], Unit::Tail));
            runs.add(run);
            runs.save(&path).unwrap();
            assert_eq!(Runs::load(&path, &settings()).unwrap(), runs);
            assert_eq!(runs.runs.len(), count);
        }
        let short = Settings { registration_seconds: 5, ..settings() };
        let refused = Runs::load_or_begin(&path, &short).unwrap_err().to_string();
        assert!(refused.contains("other settings"), "{refused}");

        std::fs::write(&path, r#"{"version": 1, "settings": {}, "figures": {}}"#).unwrap();
        assert!(Runs::load(&path, &settings()).unwrap_err().to_string().contains("version 1"));
        std::fs::write(&path, "figures").unwrap();
        assert!(matches!(Runs::load_or_begin(&path, &settings()), Err(Error::Kept { .. })));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(Runs::load(&path, &settings()), Err(Error::Kept { .. })));
    }
}
