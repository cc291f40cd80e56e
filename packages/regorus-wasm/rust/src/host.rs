//! What the module asks of its host: the time, and whether it may go on.

use core::time::Duration;

use regorus::utils::limits::{set_time_source, TimeSource};

#[link(wasm_import_module = "host")]
extern "C" {
    /// Monotonic milliseconds since any fixed moment.
    fn monotonic_ms() -> f64;
    /// Called by what `meter/` puts into loops and functions, each time that many were run. It returns when the module
    /// may go on, and never returns when the call has to end.
    fn pause();
}

pub fn now_ms() -> f64 {
    // SAFETY: the import takes nothing and returns a number.
    unsafe { monotonic_ms() }
}

struct HostClock;

impl TimeSource for HostClock {
    fn now(&self) -> Option<Duration> {
        Some(Duration::from_micros((now_ms() * 1000.0) as u64))
    }
}

static CLOCK: HostClock = HostClock;

/// Makes the host's clock that of the execution timers. Each object begins with it.
pub fn begin() {
    // An error says that it is registered already, which is what is wanted.
    let _ = set_time_source(&CLOCK);
    // SAFETY: the import takes nothing. A module without a call of it would not have it.
    unsafe { pause() };
}
