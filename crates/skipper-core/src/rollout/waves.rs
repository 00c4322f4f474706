//! Waves: what a rollout over several places does next, and how far each place is. Pure; the log says everything.
//!
//! A place is *bad* when a step of it failed. Those of its wave that have begun are waited for, those that have not stay as they
//! are, and what is bad goes back before anything else happens. Then the terms decide: no further wave, all back, or on.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    log::{StepRecord, StepState},
    plan::{Action, Plan, Step},
};
use crate::spec::{OnFailure, Target};

/// How the steps of a plan go from place to place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waves {
    /// What a bad place means to the others.
    pub on_failure: OnFailure,
    /// Most places that may be worked on, away or not healthy at a time, where that was limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<u32>,
    /// In their order. Together their steps are those before the commit.
    pub waves: Vec<Wave>,
}

/// Places that change side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// Index of its first step.
    pub from: u32,
    /// One past its last step.
    pub to: u32,
    /// Its places, see [`Target::place`].
    pub places: Vec<Target>,
}

/// What a rollout in waves does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Carries that step out.
    Step(u32),
    /// Takes that step of a bad place back.
    TakeBack(u32),
    /// Ends without having reached its revision everywhere; the step is the one that broke first.
    Broken(u32),
    /// Passes the point of no return.
    Commit,
}

/// How far a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// Nothing has happened there.
    NotBegun,
    /// It is on its way to the new revision.
    Updating,
    /// It runs the new revision.
    Updated,
    /// It did not get healthy, and is on its way back.
    GoingBack,
    /// It runs what it ran before.
    WentBack,
}

impl Progress {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotBegun => "not-begun",
            Self::Updating => "updating",
            Self::Updated => "updated",
            Self::GoingBack => "going-back",
            Self::WentBack => "went-back",
        }
    }
}

/// The latest entry of the log for each step.
pub type Records = BTreeMap<u32, StepRecord>;

impl Plan {
    /// What comes next; `None` where the plan has no waves.
    #[must_use]
    pub fn next_in_waves(&self, records: &Records) -> Option<Next> {
        let waves = self.waves.as_ref()?;
        let mut first = None;
        for wave in &waves.waves {
            if let Some(next) = self.next_in(wave, waves.on_failure, records) {
                return Some(next);
            }
            first = first.or_else(|| self.first_broken(wave.from..wave.to, records));
            if let Some(index) = first
                && waves.on_failure != OnFailure::Continue
            {
                return Some(Next::Broken(index));
            }
        }
        Some(first.map_or(Next::Commit, Next::Broken))
    }

    /// What the wave still has to do.
    fn next_in(&self, wave: &Wave, on_failure: OnFailure, records: &Records) -> Option<Next> {
        for index in wave.from..wave.to {
            let Some(step) = self.at(index) else { continue };
            let bad = self.bad(wave.from..wave.to, records);
            if !bad.is_empty() && on_failure == OnFailure::RollBack {
                return None;
            }
            let place = step.target.place();
            let held_back = !bad.is_empty() && !self.has_begun(wave, &place, records);
            let done = records.get(&index).is_some_and(|record| record.state == StepState::Done);
            if !done && !held_back && !bad.contains(&place) {
                return Some(Next::Step(index));
            }
        }
        let bad = self.bad(wave.from..wave.to, records);
        let mut steps = (wave.from..wave.to).rev();
        let left = steps.find(|index| {
            let touched = records.get(index).is_some_and(|record| record.state != StepState::Undone);
            touched && self.at(*index).is_some_and(|step| bad.contains(&step.target.place()))
        });
        left.filter(|_| on_failure != OnFailure::RollBack).map(Next::TakeBack)
    }

    /// Whether anything may have happened at the place.
    fn has_begun(&self, wave: &Wave, place: &Target, records: &Records) -> bool {
        let mut entries = records.range(wave.from..wave.to);
        entries
            .any(|(index, record)| self.at(*index).is_some_and(|s| s.target.place() == *place) && self.touches(record))
    }

    /// Whether an entry of the log means that something may have changed: fetching and waiting for room change nothing.
    fn touches(&self, record: &StepRecord) -> bool {
        let prepares = |step: &Step| matches!(step.action, Action::Fetch { .. } | Action::Gate { .. });
        let well = matches!(record.state, StepState::Started | StepState::Done);
        !(well && self.at(record.index).is_some_and(prepares))
    }

    /// Places with a step that failed or was taken back.
    fn bad(&self, steps: std::ops::Range<u32>, records: &Records) -> BTreeSet<Target> {
        let turned = |state| matches!(state, StepState::Failed | StepState::Undoing | StepState::Undone);
        let places = records.range(steps).filter(|(_, record)| turned(record.state));
        places.filter_map(|(index, _)| Some(self.at(*index)?.target.place())).collect()
    }

    /// The step that broke first, by the log.
    fn first_broken(&self, steps: std::ops::Range<u32>, records: &Records) -> Option<u32> {
        let mut turned: Vec<(&u32, &StepRecord)> = records
            .range(steps)
            .filter(|(_, record)| matches!(record.state, StepState::Failed | StepState::Undoing | StepState::Undone))
            .collect();
        turned.sort_by_key(|(index, record)| (!is_failure(record), **index));
        turned.first().map(|(index, _)| **index)
    }

    /// Whether what was started at other places than the bad ones stays when the rollout breaks.
    #[must_use]
    pub fn keeps_what_is_well(&self) -> bool {
        self.waves.as_ref().is_some_and(|waves| waves.on_failure != OnFailure::RollBack)
    }

    /// How far each place is that the plan changes. What is only given up past the commit has not begun before it.
    #[must_use]
    pub fn progress(&self, records: &Records) -> BTreeMap<Target, Progress> {
        let mut places: BTreeMap<Target, Vec<u32>> = BTreeMap::new();
        for (index, step) in (0u32..).zip(&self.steps) {
            places.entry(step.target.place()).or_default().push(index);
        }
        places.into_iter().map(|(place, steps)| (place, self.progress_of(&steps, records))).collect()
    }

    fn progress_of(&self, steps: &[u32], records: &Records) -> Progress {
        let entries = steps.iter().filter_map(|index| records.get(index)).filter(|record| self.touches(record));
        let states: Vec<StepState> = entries.map(|record| record.state).collect();
        let before: Vec<&u32> = steps.iter().filter(|index| **index < self.commit).collect();
        let any = |wanted: &[StepState]| states.iter().any(|state| wanted.contains(state));
        let all_done = |steps: &[&u32]| {
            steps.iter().all(|index| records.get(index).is_some_and(|record| record.state == StepState::Done))
        };
        let reached = if before.is_empty() { states.len() == steps.len() } else { all_done(&before) };
        if states.is_empty() {
            Progress::NotBegun
        } else if reached {
            Progress::Updated
        } else if states.iter().all(|state| *state == StepState::Undone) {
            Progress::WentBack
        } else if any(&[StepState::Undoing, StepState::Undone, StepState::Failed]) {
            Progress::GoingBack
        } else {
            Progress::Updating
        }
    }

    fn at(&self, index: u32) -> Option<&Step> {
        self.steps.get(usize::try_from(index).ok()?)
    }
}

/// Whether it is the step that broke, and not one beside it that was taken back.
fn is_failure(record: &StepRecord) -> bool {
    record.state == StepState::Failed || record.outcome.data.get("code").is_some()
}
