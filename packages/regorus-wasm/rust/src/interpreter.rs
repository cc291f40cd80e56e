//! The interpreter, as the real agent evaluates: slow, with prints and with the texts of errors.

use core::num::{NonZeroU32, NonZeroUsize};
use core::time::Duration;

use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, LimitError, PolicyLengthConfig, Value};

use crate::explain::Question;
use crate::host::begin;
use crate::program::Compiler;
use crate::text::{answer, tell, text, ERROR, OK, PRINTS, RUST_DEBUG, TIMEOUT, UNDEFINED};

/// Work units between two looks at the clock. A look crosses to the host, so not at each unit.
const TIMER_INTERVAL: NonZeroU32 = NonZeroU32::new(256).unwrap();

/// Kata's bounds of a policy's text: bytes of a line, bytes of a file, lines of a file.
const LENGTHS: PolicyLengthConfig = PolicyLengthConfig {
    max_col: NonZeroU32::new(64 * 1024).unwrap(),
    max_file_bytes: NonZeroUsize::new(16 * 1024 * 1024).unwrap(),
    max_lines: NonZeroUsize::new(200_000).unwrap(),
};

/// A policy with its interpreter, and with its compiler once that was needed.
pub struct Interpreter {
    engine: Engine,
    rego_v0: bool,
    /// Name and text of the policy.
    source: Option<(String, String)>,
    compiler: Option<Compiler>,
    limit_ms: u32,
}

impl Interpreter {
    fn compiler(&mut self) -> Result<&mut Compiler, String> {
        let (name, rego) = self.source.as_ref().ok_or("no policy")?;
        Ok(self
            .compiler
            .get_or_insert_with(|| Compiler::new(name, rego, self.rego_v0)))
    }
}

/// An engine with Kata's settings.
pub fn new_engine(rego_v0: bool) -> Engine {
    let mut engine = Engine::new();
    engine.set_rego_v0(rego_v0);
    engine.set_strict_builtin_errors(false);
    engine.set_policy_length_config(LENGTHS);
    engine
}

/// The bound of one evaluation; none for 0.
fn timer(limit_ms: u32) -> Option<ExecutionTimerConfig> {
    (limit_ms > 0).then(|| ExecutionTimerConfig {
        limit: Duration::from_millis(u64::from(limit_ms)),
        check_interval: TIMER_INTERVAL,
    })
}

pub fn refuse(error: anyhow::Error) -> u32 {
    let timeout = matches!(
        error.downcast_ref::<LimitError>(),
        Some(LimitError::TimeLimitExceeded { .. })
    );
    answer(if timeout { TIMEOUT } else { ERROR }, error.to_string())
}

fn interpreter<'a>(handle: *mut Interpreter) -> &'a mut Interpreter {
    // SAFETY: the loader passes what `engine_new` gave and has not freed it.
    unsafe { &mut *handle }
}

#[no_mangle]
pub extern "C" fn engine_new(rego_v0: u32, limit_ms: u32) -> *mut Interpreter {
    begin();
    let mut engine = new_engine(rego_v0 != 0);
    engine.set_gather_prints(true);
    if let Some(config) = timer(limit_ms) {
        engine.set_execution_timer_config(config);
    }
    Box::into_raw(Box::new(Interpreter {
        engine,
        rego_v0: rego_v0 != 0,
        source: None,
        compiler: None,
        limit_ms,
    }))
}

/// Parses a module; the result is its package (`data.agent_policy`) or the error.
#[no_mangle]
pub extern "C" fn engine_add_policy(
    handle: *mut Interpreter,
    name: *const u8,
    name_len: usize,
    rego: *const u8,
    rego_len: usize,
) -> u32 {
    let interpreter = interpreter(handle);
    let (name, rego) = (text(name, name_len), text(rego, rego_len));
    match interpreter.engine.add_policy(name.into(), rego.into()) {
        Ok(package) => {
            interpreter.source = Some((name.into(), rego.into()));
            answer(OK, package)
        }
        Err(error) => refuse(error),
    }
}

/// Replaces the data document by a JSON object.
#[no_mangle]
pub extern "C" fn engine_set_data(
    handle: *mut Interpreter,
    json: *const u8,
    json_len: usize,
) -> u32 {
    let engine = &mut interpreter(handle).engine;
    engine.clear_data();
    match engine.add_data_json(text(json, json_len)) {
        Ok(()) => answer(OK, ""),
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
    handle: *mut Interpreter,
    query: *const u8,
    query_len: usize,
    input: *const u8,
    input_len: usize,
) -> u32 {
    let engine = &mut interpreter(handle).engine;
    tell(PRINTS, "[]");
    tell(RUST_DEBUG, "");
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
        None | Some(Value::Undefined) => answer(UNDEFINED, ""),
        Some(value) => answer(OK, value.to_string()),
    }
}

/// Says why a rule such as `data.agent_policy.ExecProcessRequest` does not hold for an input: the way to the condition
/// that failed, as JSON (see `explain.rs`), or why that cannot be told.
#[no_mangle]
pub extern "C" fn engine_explain(
    handle: *mut Interpreter,
    rule: *const u8,
    rule_len: usize,
    input: *const u8,
    input_len: usize,
) -> u32 {
    let interpreter = interpreter(handle);
    let input = match Value::from_json_str(text(input, input_len)) {
        Ok(input) => input,
        Err(error) => return refuse(error),
    };
    let question = Question {
        rule: text(rule, rule_len),
        input,
        data: interpreter.engine.get_data(),
        limit_ms: interpreter.limit_ms,
    };
    match interpreter.compiler().and_then(|c| c.explain(question)) {
        Ok(path) => answer(OK, path.to_string()),
        Err(reason) => answer(ERROR, reason),
    }
}

/// Compiles rules such as `data.agent_policy.ExecProcessRequest`, one a line, to one program for the machine; rules that
/// the policy does not have are left out, and UNDEFINED if it has none of them. The result is the program's bytes, or why
/// there is none.
#[no_mangle]
pub extern "C" fn engine_compile(
    handle: *mut Interpreter,
    rules: *const u8,
    rules_len: usize,
) -> u32 {
    let rules: Vec<&str> = text(rules, rules_len).lines().collect();
    match interpreter(handle)
        .compiler()
        .and_then(|compiler| compiler.compile(&rules))
    {
        Ok(Some(bytes)) => answer(OK, bytes),
        Ok(None) => answer(UNDEFINED, ""),
        Err(reason) => answer(ERROR, reason),
    }
}
