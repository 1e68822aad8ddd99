//! Which figures moved between the runs of two builds.
//!
//! Two runs of one build differ: by what the slices of a run show, and by more, since the machine is another one in another
//! minute. So the noise of a figure is estimated from how far the runs of each side are apart, together with what such figures
//! are taken to vary by: with one run on each side that is all there is, with many runs it hardly counts. Values are
//! compared by their logarithms, so that a figure of twice and one of half are equally far.

use std::fmt;

use super::{Figure, Figures, Runs, Unit};

/// So many standard errors apart, two means are held to be different. A comparison has about thirty figures, of which none
/// should move by chance.
const ERRORS_MAX: f64 = 4.0;
/// As many runs as what is assumed of a unit counts for.
const ASSUMED_RUNS: f64 = 4.0;

impl Unit {
    fn more_is_better(self) -> bool {
        matches!(self, Self::Rate | Self::Share)
    }

    /// The relative standard deviation that runs of one build are taken to have, until enough of them show what they have.
    fn assumed_deviation(self) -> f64 {
        match self {
            Self::Bytes => 0.003,
            Self::Rate | Self::Share | Self::Micros | Self::Ceiling => 0.05,
            Self::Tail => 0.20,
        }
    }

    /// The relative difference that means nothing however sure it is: the layout of a binary makes as much.
    fn indistinct(self) -> f64 {
        match self {
            Self::Bytes => 0.01,
            Self::Rate | Self::Share | Self::Micros | Self::Tail | Self::Ceiling => 0.03,
        }
    }

    /// Whether a machine that is slower as a whole moves it.
    fn follows_the_machine(self) -> bool {
        matches!(self, Self::Rate | Self::Micros | Self::Tail)
    }
}

/// One figure in all runs of one side.
#[derive(Debug, Clone, Copy)]
struct Side {
    runs: f64,
    /// Of the logarithms.
    mean: f64,
    squares: f64,
    /// Variance of one run by its own slices.
    within: f64,
}

impl Side {
    fn of(name: &str, runs: &[Figures]) -> Option<(Self, Unit)> {
        let found: Vec<Figure> = runs.iter().filter_map(|run| run.0.get(name).copied()).collect();
        let unit = found.first()?.unit;
        let sound: Vec<_> = found.iter().filter(|figure| figure.value > 0.0).collect();
        #[allow(clippy::cast_precision_loss)]
        let runs = sound.len() as f64;
        let mean = sound.iter().map(|figure| figure.value.ln()).sum::<f64>() / runs;
        let squares = sound.iter().map(|figure| (figure.value.ln() - mean).powi(2)).sum();
        let within = sound.iter().map(|figure| (figure.noise / figure.value / 2.0).powi(2)).sum::<f64>() / runs;
        (runs > 0.0).then_some((Self { runs, mean, squares, within }, unit))
    }

    fn value(self) -> f64 {
        self.mean.exp()
    }

    /// How many times another side's value this one is at least, or at most, to be told from it.
    fn distinct_from(self, other: Self, unit: Unit) -> f64 {
        let assumed = unit.assumed_deviation().powi(2).max(self.within).max(other.within);
        let freedom = ASSUMED_RUNS + self.runs - 1.0 + other.runs - 1.0;
        let variance = (ASSUMED_RUNS * assumed + self.squares + other.squares) / freedom;
        let error = (variance * (self.runs.recip() + other.runs.recip())).sqrt();
        (ERRORS_MAX * error).max(unit.indistinct().ln_1p()).exp()
    }
}

/// What is to be thought of a figure that moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Better,
    Worse,
    /// The limits of the machine moved too, so this one says nothing of the build.
    Machine,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Better => "better",
            Self::Worse => "WORSE",
            Self::Machine => "with the machine",
        })
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Moved {
    name: String,
    unit: Unit,
    old: f64,
    new: f64,
    /// Below this many times (or above one by it) nothing could have been told.
    distinct: f64,
    verdict: Verdict,
}

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::bench) struct Comparison {
    moved: Vec<Moved>,
    same: usize,
    appeared: Vec<String>,
    gone: Vec<String>,
    /// Runs of the old side and of the new one.
    runs: (usize, usize),
    /// The least factor that any share could have been told apart by.
    told: Option<f64>,
}

impl Comparison {
    /// Compares new runs with those that were kept.
    pub(in crate::bench) fn of(new: &Runs, kept: &Runs) -> Self {
        let mut found = Self { runs: (kept.runs.len(), new.runs.len()), ..Self::default() };
        let names = |runs: &Runs| -> std::collections::BTreeSet<String> {
            runs.runs.iter().flat_map(|run| run.0.keys().cloned()).collect()
        };
        let (new_names, old_names) = (names(new), names(kept));
        found.gone = old_names.difference(&new_names).cloned().collect();
        for name in new_names {
            let (Some((new, unit)), Some((old, _))) = (Side::of(&name, &new.runs), Side::of(&name, &kept.runs)) else {
                found.appeared.extend((!old_names.contains(&name)).then_some(name));
                continue;
            };
            let distinct = new.distinct_from(old, unit);
            if unit == Unit::Share {
                found.told = Some(found.told.map_or(distinct, |told| told.max(distinct)));
            }
            let by = new.mean - old.mean;
            if by.abs() <= distinct.ln() {
                found.same += 1;
                continue;
            }
            let verdict = match unit {
                Unit::Ceiling => Verdict::Machine,
                _ if (by > 0.0) == unit.more_is_better() => Verdict::Better,
                _ => Verdict::Worse,
            };
            let (old, new) = (old.value(), new.value());
            found.moved.push(Moved { name, unit, old, new, distinct, verdict });
        }
        let machine = found.moved.iter().any(|moved| moved.unit == Unit::Ceiling);
        for moved in found.moved.iter_mut().filter(|moved| machine && moved.unit.follows_the_machine()) {
            moved.verdict = Verdict::Machine;
        }
        found
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Moved { name, unit, old, new, distinct, verdict } in &self.moved {
            let (times, old, new) = (new / old, shown(*old, *unit), shown(*new, *unit));
            writeln!(f, "{name:<44} {verdict}: {old} → {new} = {times:.2} ×, where {distinct:.2} × is noise")?;
        }
        for name in &self.appeared {
            writeln!(f, "{name:<44} is new")?;
        }
        for name in &self.gone {
            writeln!(f, "{name:<44} is not measured any more")?;
        }
        let Self { same, runs: (old, new), .. } = self;
        write!(f, "{} figures moved beyond noise, {same} did not; runs compared: {new} with {old}", self.moved.len())?;
        match self.told {
            Some(told) => write!(f, "; a share is told apart from {told:.2} × on, from less with more runs (--save)"),
            None => Ok(()),
        }
    }
}

fn shown(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Rate | Unit::Ceiling => format!("{value:.0}/s"),
        Unit::Share => format!("{value:.3}"),
        Unit::Micros | Unit::Tail if value >= 10_000.0 => format!("{:.1} ms", value / 1_000.0),
        Unit::Micros | Unit::Tail => format!("{value:.1} µs"),
        Unit::Bytes => format!("{value:.0} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    /// What runs look like: each figure with its value and how far its runs are apart, relatively.
    const FIGURES: [(&str, f64, f64, Unit); 8] = [
        ("ceiling: hello", 140_000.0, 0.04, Unit::Ceiling),
        ("register, share of echo", 0.09, 0.04, Unit::Share),
        ("register, p50", 5_800.0, 0.05, Unit::Micros),
        ("register, p99", 15_000.0, 0.20, Unit::Tail),
        ("register, p99.9", 41_000.0, 0.25, Unit::Tail),
        ("register, CPU", 159.0, 0.04, Unit::Micros),
        ("rebuild", 100_000.0, 0.05, Unit::Rate),
        ("bytes, log", 745.0, 0.001, Unit::Bytes),
    ];

    /// A small generator, so that every run of this test sees the same figures: roughly normal, from the sum of twelve.
    struct Chance(u64);

    impl Chance {
        fn normal(&mut self) -> f64 {
            let mut sum = 0.0;
            for _ in 0..12 {
                self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                sum += f64::from(u32::try_from(self.0 >> 32).unwrap_or_default()) / f64::from(u32::MAX);
            }
            sum - 6.0
        }
    }

    /// Runs of a build in which figures have so many times their value.
    fn runs(count: usize, chance: &mut Chance, times: impl Fn(&str) -> f64) -> Runs {
        let settings = Settings { seconds: 5, registration_seconds: 60, connections: 64, workers: 2, database: false };
        let mut all = Runs::new(settings);
        for _ in 0..count {
            let mut run = Figures::default();
            for (name, value, deviation, unit) in FIGURES {
                run.add(name, Figure::once(value * times(name) * (deviation * chance.normal()).exp(), unit));
            }
            all.add(run);
        }
        all
    }

    fn moved(comparison: &Comparison) -> Vec<(&str, Verdict)> {
        comparison.moved.iter().map(|moved| (moved.name.as_str(), moved.verdict)).collect()
    }

    #[test]
    fn runs_of_one_build_are_not_told_apart() {
        let mut chance = Chance(1);
        let (mut compared, mut moved) = (0, 0);
        for _ in 0..250 {
            for count in [1, 3, 5] {
                let (new, kept) = (runs(count, &mut chance, |_| 1.0), runs(count, &mut chance, |_| 1.0));
                let found = Comparison::of(&new, &kept);
                assert_eq!(found.same + found.moved.len(), FIGURES.len());
                compared += FIGURES.len();
                moved += found.moved.len();
            }
        }
        assert!(moved * 300 <= compared, "{moved} of {compared} moved by chance");
    }

    #[test]
    fn a_fifth_less_is_told_apart_with_five_runs_and_hardly_anything_else_is_blamed() {
        const SLOWER: &str = "register, share of echo";
        let mut chance = Chance(2);
        let slower = |name: &str| if name == SLOWER { 0.8 } else { 1.0 };
        let mut others = 0;
        for _ in 0..50 {
            let found = Comparison::of(&runs(5, &mut chance, slower), &runs(5, &mut chance, |_| 1.0));
            assert!(moved(&found).contains(&(SLOWER, Verdict::Worse)), "{found}");
            others += found.moved.len() - 1;
        }
        assert!(others <= 2, "{others} of 350 others moved by chance");
    }

    #[test]
    fn one_run_against_another_tells_only_what_is_large_and_says_so() {
        let mut chance = Chance(3);
        let twice = |name: &str| if name == "register, CPU" { 0.5 } else { 1.0 };
        let found = Comparison::of(&runs(1, &mut chance, twice), &runs(1, &mut chance, |_| 1.0));
        assert_eq!(moved(&found), [("register, CPU", Verdict::Better)], "{found}");
        let said = found.to_string();
        assert!(said.contains("runs compared: 1 with 1; a share is told apart from 1.33 × on"), "{said}");
    }

    #[test]
    fn a_page_more_on_the_disk_is_told_apart() {
        let mut chance = Chance(4);
        let larger = |name: &str| if name == "bytes, log" { 1.05 } else { 1.0 };
        let found = Comparison::of(&runs(3, &mut chance, larger), &runs(3, &mut chance, |_| 1.0));
        assert_eq!(moved(&found), [("bytes, log", Verdict::Worse)], "{found}");
    }

    #[test]
    fn a_build_is_not_blamed_for_a_slower_machine() {
        let mut chance = Chance(5);
        let slower = |name: &str| match name {
            "ceiling: hello" | "rebuild" => 0.6,
            "register, CPU" | "register, p50" => 1.6,
            _ => 1.0,
        };
        let found = Comparison::of(&runs(5, &mut chance, slower), &runs(5, &mut chance, |_| 1.0));
        assert!(
            moved(&found).len() == 4 && moved(&found).iter().all(|(_, verdict)| *verdict == Verdict::Machine),
            "{found}"
        );
    }

    #[test]
    fn what_varies_more_within_its_runs_than_is_assumed_needs_more_to_be_told_apart() {
        let run = |value: f64| {
            let mut all = runs(0, &mut Chance(6), |_| 1.0);
            let mut run = Figures::default();
            run.add("register", Figure { value, noise: 40.0, unit: Unit::Share });
            all.add(run);
            all
        };
        assert!(moved(&Comparison::of(&run(160.0), &run(100.0))).is_empty());
        assert_eq!(moved(&Comparison::of(&run(350.0), &run(100.0))), [("register", Verdict::Better)]);
    }

    #[test]
    fn what_only_one_side_measured_or_did_not_reach_is_no_movement() {
        let mut chance = Chance(7);
        let (mut new, mut kept) = (runs(2, &mut chance, |_| 1.0), runs(2, &mut chance, |_| 1.0));
        new.runs[0].add("erase", Figure::once(300.0, Unit::Rate));
        kept.runs[0].add("list", Figure::once(300.0, Unit::Rate));
        for runs in [&mut new, &mut kept] {
            runs.runs[1].add("nothing", Figure::once(0.0, Unit::Rate));
        }
        let found = Comparison::of(&new, &kept);
        assert_eq!((&found.appeared[..], &found.gone[..]), (&["erase".to_owned()][..], &["list".to_owned()][..]));
        assert!(found.moved.is_empty() && found.same == FIGURES.len(), "{found}");
    }
}
