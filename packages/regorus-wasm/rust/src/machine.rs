//! The register machine that runs compiled rules: fast, and silent about anything but the rule's value.

use std::collections::BTreeMap;
use std::sync::Arc;

use regorus::rvm::program::{DeserializationResult, Program};
use regorus::rvm::vm::{RegoVM, VmError};
use regorus::Value;

use crate::host::begin;
use crate::interpreter::timer;
use crate::light::lighten;
use crate::patterns::keep_patterns;
use crate::text::{answer, bytes, text, ERROR, OK, TIMEOUT, UNDEFINED};

/// Compiled rules and the data that they see.
pub struct Machine {
    limit_ms: u32,
    data: Value,
    /// The program that answers for a rule.
    programs: BTreeMap<String, Arc<Program>>,
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
        programs: BTreeMap::new(),
    }))
}

/// Takes a program that `engine_compile` made; it answers for all rules that are in it.
#[no_mangle]
pub extern "C" fn machine_add_program(
    handle: *mut Machine,
    program: *const u8,
    program_len: usize,
) -> u32 {
    match Program::deserialize_binary(bytes(program, program_len)) {
        Ok(DeserializationResult::Complete(mut program)) => {
            keep_patterns(&mut program);
            lighten(&mut program);
            let program = Arc::new(program);
            let rules = program.entry_points.keys();
            let entries = rules.map(|rule| (rule.clone(), program.clone()));
            machine(handle).programs.extend(entries);
            answer(OK, "")
        }
        Ok(DeserializationResult::Partial(_)) => answer(ERROR, "a program of another version"),
        Err(error) => answer(ERROR, error),
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
    let rule = text(rule, rule_len);
    let Some(program) = machine.programs.get(rule) else {
        return answer(UNDEFINED, "");
    };
    let input = match Value::from_json_str(text(input, input_len)) {
        Ok(input) => input,
        Err(error) => return answer(ERROR, error.to_string()),
    };
    // A machine of its own for each run: nothing of an input stays behind, which may hold secrets.
    let mut vm = RegoVM::new();
    vm.set_max_instructions(usize::MAX);
    vm.set_execution_timer_config(timer(machine.limit_ms));
    vm.load_program(program.clone());
    if let Err(error) = vm.set_data(machine.data.clone()) {
        return answer(ERROR, error.to_string());
    }
    vm.set_input(input);
    match vm.execute_entry_point_by_name(rule) {
        Ok(Value::Undefined) => answer(UNDEFINED, ""),
        Ok(value) => answer(OK, value.to_string()),
        Err(error @ VmError::TimeLimitExceeded { .. }) => answer(TIMEOUT, error.to_string()),
        Err(error) => answer(ERROR, error.to_string()),
    }
}
