//! A plain C ABI over `regorus::Engine` for one WebAssembly instance.
//!
//! Text crosses as UTF-8 in memory that the host got from `alloc`; what a call has to say lies at `text_ptr(n)` and
//! `text_len(n)` until the next call. Every call that takes a handle trusts it: the only host is the loader in `src/`,
//! which owns the instance.

use core::num::{NonZeroU32, NonZeroUsize};
use core::time::Duration;
use std::cell::RefCell;

use regorus::utils::limits::{set_time_source, ExecutionTimerConfig, TimeSource};
use regorus::{Engine, LimitError, PolicyLengthConfig, Value};

/// What a call came to; the loader has the same numbers.
const OK: u32 = 0;
const UNDEFINED: u32 = 1;
const ERROR: u32 = 2;
const TIMEOUT: u32 = 3;

/// What lies where after a call; the loader has the same numbers.
const RESULT: usize = 0;
const PRINTS: usize = 1;
const RUST_DEBUG: usize = 2;

/// Work units between two looks at the clock. A look crosses to the host, so not at each unit.
const TIMER_INTERVAL: NonZeroU32 = NonZeroU32::new(256).unwrap();

/// Kata's bounds of a policy's text: bytes of a line, bytes of a file, lines of a file.
const LENGTHS: PolicyLengthConfig = PolicyLengthConfig {
    max_col: NonZeroU32::new(64 * 1024).unwrap(),
    max_file_bytes: NonZeroUsize::new(16 * 1024 * 1024).unwrap(),
    max_lines: NonZeroUsize::new(200_000).unwrap(),
};

#[link(wasm_import_module = "clock")]
extern "C" {
    /// Monotonic milliseconds since any fixed moment.
    fn monotonic_ms() -> f64;
}

struct HostClock;

impl TimeSource for HostClock {
    fn now(&self) -> Option<Duration> {
        // SAFETY: the import takes nothing and returns a number.
        let ms = unsafe { monotonic_ms() };
        Some(Duration::from_micros((ms * 1000.0) as u64))
    }
}

static CLOCK: HostClock = HostClock;

thread_local! {
    static TEXTS: RefCell<[Vec<u8>; 3]> = const { RefCell::new([Vec::new(), Vec::new(), Vec::new()]) };
}

fn tell(which: usize, text: String) {
    TEXTS.with(|t| t.borrow_mut()[which] = text.into_bytes());
}

fn answer(status: u32, text: String) -> u32 {
    tell(RESULT, text);
    status
}

fn refuse(error: anyhow::Error) -> u32 {
    let timeout = matches!(
        error.downcast_ref::<LimitError>(),
        Some(LimitError::TimeLimitExceeded { .. })
    );
    answer(if timeout { TIMEOUT } else { ERROR }, error.to_string())
}

/// The text at `ptr`. The loader encodes it, so it is UTF-8; anything else is a bug there and ends the instance.
fn text<'a>(ptr: *const u8, len: usize) -> &'a str {
    if len == 0 {
        return "";
    }
    // SAFETY: the loader passes memory from `alloc` that it filled with `len` bytes.
    core::str::from_utf8(unsafe { core::slice::from_raw_parts(ptr, len) }).expect("UTF-8")
}

fn engine<'a>(handle: *mut Engine) -> &'a mut Engine {
    // SAFETY: the loader passes what `engine_new` gave and has not freed it.
    unsafe { &mut *handle }
}

#[no_mangle]
pub extern "C" fn alloc(len: usize) -> *mut u8 {
    let mut block = Vec::<u8>::with_capacity(len.max(1));
    let ptr = block.as_mut_ptr();
    core::mem::forget(block);
    ptr
}

#[no_mangle]
pub extern "C" fn dealloc(ptr: *mut u8, len: usize) {
    // SAFETY: the pair is one that `alloc` gave out.
    drop(unsafe { Vec::from_raw_parts(ptr, 0, len.max(1)) });
}

#[no_mangle]
pub extern "C" fn text_ptr(which: usize) -> *const u8 {
    TEXTS.with(|t| t.borrow()[which].as_ptr())
}

#[no_mangle]
pub extern "C" fn text_len(which: usize) -> usize {
    TEXTS.with(|t| t.borrow()[which].len())
}

/// A new engine with Kata's settings. `limit_ms` bounds each evaluation; 0 means no bound.
#[no_mangle]
pub extern "C" fn engine_new(rego_v0: u32, limit_ms: u32) -> *mut Engine {
    // An error says that it is registered already, which is what is wanted.
    let _ = set_time_source(&CLOCK);
    let mut engine = Engine::new();
    engine.set_rego_v0(rego_v0 != 0);
    engine.set_strict_builtin_errors(false);
    engine.set_gather_prints(true);
    engine.set_policy_length_config(LENGTHS);
    if limit_ms > 0 {
        engine.set_execution_timer_config(ExecutionTimerConfig {
            limit: Duration::from_millis(u64::from(limit_ms)),
            check_interval: TIMER_INTERVAL,
        });
    }
    Box::into_raw(Box::new(engine))
}

#[no_mangle]
pub extern "C" fn engine_free(handle: *mut Engine) {
    // SAFETY: the loader frees each handle once.
    drop(unsafe { Box::from_raw(handle) });
}

/// Parses a module; the result is its package (`data.agent_policy`) or the error.
#[no_mangle]
pub extern "C" fn engine_add_policy(
    handle: *mut Engine,
    name: *const u8,
    name_len: usize,
    rego: *const u8,
    rego_len: usize,
) -> u32 {
    match engine(handle).add_policy(text(name, name_len).into(), text(rego, rego_len).into()) {
        Ok(package) => answer(OK, package),
        Err(error) => refuse(error),
    }
}

/// Replaces the data document by a JSON object.
#[no_mangle]
pub extern "C" fn engine_set_data(handle: *mut Engine, json: *const u8, json_len: usize) -> u32 {
    let engine = engine(handle);
    engine.clear_data();
    match engine.add_data_json(text(json, json_len)) {
        Ok(()) => answer(OK, String::new()),
        Err(error) => refuse(error),
    }
}

/// Evaluates a query such as `data.agent_policy.ExecProcessRequest` with an input document.
///
/// RESULT is the value as compact JSON or an error's text. PRINTS is a JSON array; the prints of an evaluation that fails are
/// there too. RUST_DEBUG is the whole outcome in Rust's notation where it is not one boolean or object, because the
/// Rust agent sends that text to its caller.
#[no_mangle]
pub extern "C" fn engine_eval(
    handle: *mut Engine,
    query: *const u8,
    query_len: usize,
    input: *const u8,
    input_len: usize,
) -> u32 {
    let engine = engine(handle);
    tell(PRINTS, "[]".into());
    tell(RUST_DEBUG, String::new());
    match Value::from_json_str(text(input, input_len)) {
        Ok(value) => engine.set_input(value),
        Err(error) => return refuse(error),
    }
    let outcome = engine.eval_query(text(query, query_len).into(), false);
    let prints = engine.take_prints().unwrap_or_default();
    // The input may be large and hold secrets: it does not stay behind.
    engine.set_input(Value::Undefined);
    let prints = Value::from(prints.into_iter().map(Value::from).collect::<Vec<_>>());
    tell(PRINTS, prints.to_string());
    let results = match outcome {
        Ok(results) => results,
        Err(error) => return refuse(error),
    };
    let value = match results.result.as_slice() {
        [one] => one.expressions.first().map(|e| &e.value),
        _ => None,
    };
    if !matches!(value, Some(Value::Bool(_) | Value::Object(_))) {
        tell(RUST_DEBUG, format!("{results:?}"));
    }
    match value {
        None | Some(Value::Undefined) => answer(UNDEFINED, String::new()),
        Some(value) => answer(OK, value.to_string()),
    }
}
