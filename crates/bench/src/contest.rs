//! Paired timing: contestants take turns in short slices, so that all of them see the same noise of the machine.

use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long one slice of one contestant lasts: long beside the clock's precision, and short beside the slices of the kernel's
/// scheduler, so that many slices are not interrupted.
const SLICE: Duration = Duration::from_millis(1);

/// How long a contest lasts at most.
const CONTEST: Duration = Duration::from_secs(8);

/// Slices of each contestant.
const ROUNDS: usize = 400;

/// Runs the operation as often as told, and says how long that took.
type Runs<'a> = Box<dyn FnMut(u32) -> Duration + 'a>;

/// Several libraries doing the same work.
#[must_use]
pub struct Contest<'a> {
    work: String,
    contestants: Vec<(&'static str, Runs<'a>)>,
}

impl fmt::Debug for Contest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.contestants.iter().map(|(name, _)| name);
        f.debug_struct("Contest")
            .field("work", &self.work)
            .field("contestants", &names.collect::<Vec<_>>())
            .finish()
    }
}

/// What the contestants took.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was done.
    pub work: String,
    /// Each contestant, in the order in which they were named; the first is ours.
    pub times: Vec<Times>,
}

/// What one contestant took.
#[derive(Clone, Debug)]
pub struct Times {
    /// Its name.
    pub name: &'static str,
    /// Seconds for one operation, in the quietest twentieth of its slices.
    pub secs: f64,
    /// How many times as long as the first contestant's.
    pub ratio: f64,
}

impl<'a> Contest<'a> {
    /// Work that nobody does yet; the first contestant to be added is ours.
    pub fn new(work: impl Into<String>) -> Self {
        Self {
            work: work.into(),
            contestants: Vec::new(),
        }
    }

    /// Adds a contestant that does the work once when called. What it makes is dropped within the measured time.
    pub fn of<T>(self, name: &'static str, mut work: impl FnMut() -> T + 'a) -> Self {
        self.that_times_itself(name, move |runs| {
            let began = Instant::now();
            for _ in 0..runs {
                black_box(work());
            }
            began.elapsed()
        })
    }

    /// Adds a contestant that does the work as often as told, and says how long that took.
    pub fn that_times_itself(
        mut self,
        name: &'static str,
        runs: impl FnMut(u32) -> Duration + 'a,
    ) -> Self {
        self.contestants.push((name, Box::new(runs)));
        self
    }

    /// What is to be done.
    #[must_use]
    pub fn work(&self) -> &str {
        &self.work
    }

    /// Lets them run in turns.
    #[must_use]
    pub fn run(mut self) -> Outcome {
        let runs: Vec<u32> = (self.contestants.iter_mut())
            .map(|(_, contestant)| runs_of_a_slice(contestant))
            .collect();
        let mut samples = vec![Vec::with_capacity(ROUNDS); runs.len()];
        let began = Instant::now();
        for round in 0..ROUNDS {
            if round > 0 && began.elapsed() > CONTEST {
                break;
            }
            for ((samples, (_, contestant)), &runs) in
                samples.iter_mut().zip(&mut self.contestants).zip(&runs)
            {
                samples.push(contestant(runs).as_secs_f64() / f64::from(runs));
            }
        }
        let secs: Vec<f64> = samples.into_iter().map(quiet).collect();
        let times = (self.contestants.iter().zip(&secs))
            .map(|(&(name, _), &its)| Times {
                name,
                secs: its,
                ratio: its / secs[0],
            })
            .collect();
        Outcome {
            work: self.work,
            times,
        }
    }
}

/// How often a contestant does its work in about [`SLICE`].
fn runs_of_a_slice(contestant: &mut Runs<'_>) -> u32 {
    let mut runs = 1_u32;
    loop {
        let took = contestant(runs);
        if took >= SLICE / 2 {
            return runs;
        }
        runs = runs.saturating_mul(2);
    }
}

/// The time that a twentieth of the samples do not exceed. What else the machine does only ever adds to a sample, so that the lowest say
/// most; the very lowest may be luck of the clock.
fn quiet(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 20]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contestant_of_twice_the_time_has_a_ratio_of_two() {
        let per_run = |millis: u64| move |runs: u32| Duration::from_millis(millis) * runs;
        let outcome = Contest::new("waiting")
            .that_times_itself("ours", per_run(20))
            .that_times_itself("theirs", per_run(40))
            .run();
        let [ours, theirs] = &outcome.times[..] else {
            panic!("two contestants: {outcome:?}");
        };
        assert_eq!((ours.name, theirs.name), ("ours", "theirs"));
        assert!((ours.secs - 0.02).abs() < 1e-9, "{outcome:?}");
        assert!((theirs.ratio - 2.0).abs() < 1e-9, "{outcome:?}");
    }

    #[test]
    fn slow_slices_are_not_what_counts() {
        let noisy = (0..100).map(|slice| if slice % 10 == 0 { 1.0 } else { 7.0 });
        assert!((quiet(noisy.collect()) - 1.0).abs() < 1e-9);
    }
}
