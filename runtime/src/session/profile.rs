use crate::heap::*;
use alloc::collections::BTreeMap;
use core::time::Duration;
use kc_abi::manifest::{Entry, Kernel};

/// Times of the launches of a session's entry points.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    entries: BTreeMap<String, EntryTimes>,
}

#[derive(Clone, Debug, Default)]
struct EntryTimes {
    calls: u64,
    total: Duration,
    launches: Vec<LaunchTime>,
}

/// Time of one launch of a plan, summed over the calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaunchTime {
    /// The kernel's name.
    pub kernel: String,
    /// How often it was executed.
    pub calls: u64,
    /// Wall-clock time from its start to the end of its last task.
    pub time: Duration,
}

impl Profile {
    pub(super) fn add_launch(&mut self, entry: &Entry, kernels: &[Kernel], launch: usize, time: Duration) {
        let times = self.times(entry);
        if times.launches.is_empty() {
            times.launches = kc_abi::manifest::launches(&entry.plan.steps)
                .into_iter()
                .map(|launch| LaunchTime { kernel: kernels[launch.kernel].name.clone(), ..Default::default() })
                .collect();
        }
        if let Some(slot) = times.launches.get_mut(launch) {
            slot.calls += 1;
            slot.time += time;
        }
    }

    pub(super) fn add_step(&mut self, entry: &Entry, time: Duration) {
        let times = self.times(entry);
        times.calls += 1;
        times.total += time;
    }

    fn times(&mut self, entry: &Entry) -> &mut EntryTimes {
        if !self.entries.contains_key(&entry.name) {
            self.entries.insert(entry.name.clone(), EntryTimes::default());
        }
        self.entries.get_mut(&entry.name).expect("inserted above")
    }

    /// The entry points that were called, sorted by name.
    pub fn entries(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// How often an entry point was called.
    pub fn calls(&self, entry: &str) -> u64 {
        self.entries.get(entry).map_or(0, |times| times.calls)
    }

    /// Wall-clock time of all calls of an entry point, from its checked inputs to its outputs.
    pub fn total(&self, entry: &str) -> Duration {
        self.entries.get(entry).map_or(Duration::ZERO, |times| times.total)
    }

    /// The launches of an entry point in the plan's order.
    pub fn launches(&self, entry: &str) -> &[LaunchTime] {
        self.entries.get(entry).map_or(&[], |times| &times.launches)
    }

    /// The part of an entry point's time that its kernels took, from 0 to 1; `None` if it was never called.
    pub fn kernel_share(&self, entry: &str) -> Option<f64> {
        let times = self.entries.get(entry)?;
        let kernels: Duration = times.launches.iter().map(|launch| launch.time).sum();
        (times.total > Duration::ZERO).then(|| kernels.as_secs_f64() / times.total.as_secs_f64())
    }
}
