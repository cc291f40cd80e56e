//! The machine that runs compiled rules: fast, and silent about anything but the rule's value.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use regorus::rvm::program::{DeserializationResult, Program};
use regorus::{LimitError, Value};

use crate::code::Code;
use crate::host::begin;
use crate::run::{run, Room, Stop, Unwatched};
use crate::text::{answer, bytes, text, ERROR, OK, TIMEOUT, UNDEFINED};

/// Compiled rules and the data that they see.
pub struct Machine {
    limit_ms: u32,
    data: Value,
    /// Which code answers for a rule, and where it begins there.
    rules: BTreeMap<String, (Rc<Code>, u16)>,
    room: Room,
}

fn machine<'a>(handle: *mut Machine) -> &'a mut Machine {
    // SAFETY: the loader passes what `machine_new` gave and has not freed it.
    unsafe { &mut *handle }
}

#[no_mangle]
pub extern "C" fn machine_new(limit_ms: u32) -> *mut Machine {
    begin();
    Box::into_raw(Box::new(Machine {
        limit_ms,
        data: Value::new_object(),
        rules: BTreeMap::new(),
        room: Room::new(),
    }))
}

/// Takes a program that `engine_compile` made; it answers for all rules that are in it.
#[no_mangle]
pub extern "C" fn machine_add_program(
    handle: *mut Machine,
    program: *const u8,
    program_len: usize,
) -> u32 {
    let program = match Program::deserialize_binary(bytes(program, program_len)) {
        Ok(DeserializationResult::Complete(program)) => program,
        Ok(DeserializationResult::Partial(_)) => {
            return answer(ERROR, "a program of another version")
        }
        Err(error) => return answer(ERROR, error),
    };
    match Code::new(&program) {
        Ok(code) => {
            let code = Rc::new(code);
            let entries = code.entries.iter();
            let rules = entries.map(|(rule, entry)| (rule.clone(), (code.clone(), *entry)));
            machine(handle).rules.extend(rules);
            answer(OK, "")
        }
        Err(reason) => answer(ERROR, reason),
    }
}

/// Replaces the data document by a JSON object.
#[no_mangle]
pub extern "C" fn machine_set_data(handle: *mut Machine, json: *const u8, json_len: usize) -> u32 {
    match Value::from_json_str(text(json, json_len)) {
        Ok(value @ Value::Object(_)) => {
            machine(handle).data = value;
            answer(OK, "")
        }
        Ok(_) => answer(ERROR, "data must be object"),
        Err(error) => answer(ERROR, error.to_string()),
    }
}

/// Runs the program of a rule; UNDEFINED without one. The result is the rule's value as compact JSON. ERROR means that there is no answer,
/// whatever the reason: the interpreter has it.
#[no_mangle]
pub extern "C" fn machine_run(
    handle: *mut Machine,
    rule: *const u8,
    rule_len: usize,
    input: *const u8,
    input_len: usize,
) -> u32 {
    let machine = machine(handle);
    let Some((code, entry)) = machine.rules.get(text(rule, rule_len)) else {
        return answer(UNDEFINED, "");
    };
    let input = match Value::from_json_str(text(input, input_len)) {
        Ok(input) => input,
        Err(error) => return answer(ERROR, error.to_string()),
    };
    let documents = (&machine.data, &input);
    let limit_ms = machine.limit_ms;
    let room = &mut machine.room;
    match run(code, *entry, documents, limit_ms, room, &mut Unwatched) {
        Ok(Value::Undefined) => answer(UNDEFINED, ""),
        Ok(value) => answer(OK, value.to_string()),
        Err(stop @ Stop::Timeout { .. }) => answer(TIMEOUT, told(stop, limit_ms)),
        Err(stop) => answer(ERROR, told(stop, limit_ms)),
    }
}

/// What an evaluation that stopped has to say.
pub fn told(stop: Stop, limit_ms: u32) -> String {
    match stop {
        Stop::Unknown => "what the interpreter has to be asked".to_owned(),
        Stop::Timeout { elapsed_ms } => LimitError::TimeLimitExceeded {
            elapsed: Duration::from_micros((elapsed_ms * 1000.0) as u64),
            limit: Duration::from_millis(u64::from(limit_ms)),
        }
        .to_string(),
    }
}
