//! Going through places, as many at a time as there are CPUs.
use std::{
    num::NonZero,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use super::{Finding, Needles, Place, Report, Scan};

/// Searches places for needles.
#[must_use]
pub fn search(places: &[Box<dyn Place>], needles: &Needles) -> Report {
    let start = Instant::now();
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::with_capacity(places.len()));
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..workers.min(places.len()) {
            scope.spawn(|| {
                while let Some(index) = take(&next, places.len()) {
                    let finding = look(places[index].as_ref(), needles);
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.push((index, finding));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(index, _)| *index);
    Report {
        findings: found.into_iter().map(|(_, finding)| finding).collect(),
        time: start.elapsed(),
    }
}

fn take(next: &AtomicUsize, count: usize) -> Option<usize> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    (index < count).then_some(index)
}

fn look(place: &dyn Place, needles: &Needles) -> Finding {
    let start = Instant::now();
    let mut scan = Scan::new(needles);
    let absent = place.is_absent();
    if absent.is_none()
        && let Err(failure) = place.search(&mut scan)
    {
        scan.failed(&failure);
    }
    let must_have_marker = absent.is_none() && place.has_marker() && needles.have_marker();
    Finding {
        place: place.name().to_owned(),
        absent,
        failures: scan.failures,
        items: scan.items,
        bytes: scan.bytes,
        hits: scan.hits,
        hit_count: scan.hit_count,
        marker: must_have_marker.then_some(scan.marker),
        time: start.elapsed(),
    }
}
