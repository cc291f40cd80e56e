//! Why a rule does not hold: a run of the rule's own program that stops before each condition and looks at it.
//!
//! There is no second copy of the checks that could say something else than the first. Of the conditions that fail, those
//! count whose failing made the rule fail: one within a call counts with the condition that needed the call. Of several,
//! the one that came furthest is told, as that is the alternative that was nearest to holding.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use regorus::rvm::instructions::GuardMode;
use regorus::rvm::program::{Program, SpanInfo};
use regorus::rvm::vm::{ExecutionMode, ExecutionState, RegoVM, SuspendReason};
use regorus::rvm::Instruction;
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::Value;

use crate::sound::{places, splice, writer, Insertions, Place, Unfit, MAX_REGISTERS};
use crate::source::Source;

/// Failures of one body that are kept; of more, the later ones are not looked at.
const MAX_FAILURES: usize = 500;

/// A condition that failed.
#[derive(Clone)]
struct Failure {
    /// Position of the condition, from the start of its body.
    progress: usize,
    pc: usize,
    rule: usize,
    text: Option<(usize, String)>,
    /// Parts of the condition and what they are.
    operands: Vec<(String, Value)>,
    /// What made it fail, where that is not in itself.
    causes: Vec<Failure>,
}

/// One call of a rule.
struct Call {
    rule: usize,
    /// Number of the definition and of its body that runs.
    at: (usize, usize),
    failures: Vec<Failure>,
    /// Failures of calls since the last condition that held.
    pending: Vec<Failure>,
    held: bool,
}

struct Tracer<'a> {
    program: &'a Program,
    places: Vec<Option<Place>>,
    lines: Vec<&'a str>,
    calls: Vec<Call>,
}

/// What is asked, and how.
pub struct Question<'a> {
    pub rule: &'a str,
    pub input: Value,
    pub data: Value,
    pub timer: Option<ExecutionTimerConfig>,
}

/// The way to the condition that failed, outermost first: an array of {rule, line, text, operands: [{text, value}]}. A
/// value that is undefined is not there. Empty if the rule holds, or if there is nothing to tell.
///
/// `program` is sound, and still has its source and spans.
pub fn explain(program: &Program, question: Question) -> Result<Value, String> {
    let mut vm = RegoVM::new();
    vm.set_max_instructions(usize::MAX);
    vm.set_execution_mode(ExecutionMode::Suspendable);
    vm.set_execution_timer_config(question.timer);
    vm.load_program(Arc::new(with_stops(program)?));
    vm.set_data(question.data)
        .map_err(|error| error.to_string())?;
    vm.set_input(question.input);
    let source = program.sources.first().map_or("", |s| s.content.as_str());
    let mut tracer = Tracer {
        program,
        places: places(program),
        lines: source.lines().collect(),
        calls: Vec::new(),
    };
    let mut value = vm
        .execute_entry_point_by_name(question.rule)
        .map_err(|error| error.to_string())?;
    loop {
        let ExecutionState::Suspended {
            reason: SuspendReason::HostAwait { identifier, .. },
            ..
        } = vm.execution_state()
        else {
            break;
        };
        let pc = identifier.as_u64().map_err(|error| error.to_string())? as usize;
        tracer.stop(&vm, pc);
        value = vm
            .resume(Some(Value::Null))
            .map_err(|error| error.to_string())?;
    }
    if value == Value::Bool(true) || value[&Value::from("allowed")] == Value::Bool(true) {
        return Ok(Value::new_array());
    }
    Ok(tracer.told())
}

/// The program with a stop at the start of each body, before each condition, and at the end.
fn with_stops(program: &Program) -> Result<Program, Unfit> {
    let mut p = program.clone();
    let mut insertions: Insertions = Vec::new();
    for (pc, place) in places(program).iter().enumerate() {
        let Some(Place { rule, .. }) = place else {
            continue;
        };
        let at = match program.instructions[pc] {
            Instruction::RuleInit { .. } => pc + 1,
            Instruction::Guard { .. } | Instruction::RuleReturn {} => pc,
            _ => continue,
        };
        let scratch = usize::from(program.rule_infos[*rule].num_registers);
        if scratch + 2 > MAX_REGISTERS {
            return Err("too many registers");
        }
        let [id, dest] = [scratch as u8, scratch as u8 + 1];
        let literal_idx = u16::try_from(p.literals.len()).map_err(|_| "too many constants")?;
        p.literals.push(Value::from(pc as u64));
        insertions.push((
            at,
            Instruction::Load {
                dest: id,
                literal_idx,
            },
        ));
        insertions.push((at, Instruction::HostAwait { dest, arg: id, id }));
    }
    for rule in &mut p.rule_infos {
        rule.num_registers = rule.num_registers.saturating_add(2);
    }
    p.max_rule_window_size = p.max_rule_window_size.saturating_add(2);
    p.has_host_await = true;
    splice(&mut p, insertions)?;
    p.validate_limits().map_err(|_| "a limit of the machine")?;
    Ok(p)
}

impl Tracer<'_> {
    /// The machine stands before the instruction at `pc`.
    fn stop(&mut self, vm: &RegoVM, pc: usize) {
        let depth = vm.get_call_stack().len();
        let Some(context) = vm.get_call_stack().last() else {
            return;
        };
        while self.calls.len() > depth {
            self.leave();
        }
        let at = (context.current_definition_index, context.current_body_index);
        let enters = matches!(self.program.instructions[pc], Instruction::RuleInit { .. });
        let rule = usize::from(context.rule_index);
        let again = self.calls.len() == depth
            && self
                .calls
                .last()
                .is_some_and(|call| call.rule != rule || (enters && at <= call.at));
        if again {
            self.leave();
        }
        if self.calls.len() < depth {
            self.calls.push(Call {
                rule,
                at,
                failures: Vec::new(),
                pending: Vec::new(),
                held: false,
            });
        }
        let Some(call) = self.calls.last_mut() else {
            return;
        };
        call.at = at;
        match self.program.instructions[pc] {
            Instruction::RuleInit { .. } => call.pending.clear(),
            Instruction::RuleReturn {} => call.held = true,
            Instruction::Guard { register, mode } => {
                let registers = vm.get_registers();
                let value = registers.get(usize::from(register));
                if holds(value.unwrap_or(&Value::Undefined), mode) {
                    call.pending.clear();
                } else {
                    let failure = self.failure(pc, register, registers);
                    if let Some(call) = self.calls.last_mut() {
                        if call.failures.len() < MAX_FAILURES {
                            call.failures.push(failure);
                        }
                        call.pending.clear();
                    }
                }
            }
            _ => {}
        }
    }

    /// A call is over: if none of its bodies held, whoever made it may fail for it.
    fn leave(&mut self) {
        let Some(call) = self.calls.pop() else {
            return;
        };
        if let (false, Some(caller)) = (call.held, self.calls.last_mut()) {
            caller.pending.extend(call.failures);
        }
    }

    fn failure(&mut self, pc: usize, register: u8, registers: &[Value]) -> Failure {
        let place = self.places[pc].unwrap_or(Place { rule: 0, body: pc });
        let text = self.statement(place.body, pc, register);
        let (values, causes) = self.look(place.body, pc, register, registers);
        let own = Failure {
            progress: pc - place.body,
            pc,
            rule: place.rule,
            operands: match &text {
                Some((_, text)) => named(text, values),
                None => Vec::new(),
            },
            text,
            causes,
        };
        if own.text.is_some() {
            return own;
        }
        // No statement, but the end of a body: what failed in it is why, or a loop that found nothing.
        match furthest(&own.causes).cloned() {
            Some(cause) => cause,
            None => self.empty_loop(place, pc, registers).unwrap_or(own),
        }
    }

    /// What the condition was made of, and what failed in that.
    fn look(
        &mut self,
        body: usize,
        pc: usize,
        register: u8,
        registers: &[Value],
    ) -> (Vec<Value>, Vec<Failure>) {
        use Instruction::*;
        let Some(at) = writer(self.program, body, pc, register) else {
            return (Vec::new(), self.within(body..pc));
        };
        let data = &self.program.instruction_data;
        let values = |parts: &[u8]| -> Vec<Value> {
            let parts = parts.iter().map(|part| registers.get(usize::from(*part)));
            parts
                .map(|v| v.cloned().unwrap_or(Value::Undefined))
                .collect()
        };
        match self.program.instructions[at] {
            Eq { left, right, .. }
            | Ne { left, right, .. }
            | Lt { left, right, .. }
            | Le { left, right, .. }
            | Gt { left, right, .. }
            | Ge { left, right, .. } => (values(&[left, right]), self.pending()),
            Contains {
                value, collection, ..
            } => (values(&[value, collection]), self.pending()),
            // What is negated held: nothing failed in it that matters.
            Not { operand, .. } => (self.look(body, at, operand, registers).0, Vec::new()),
            BuiltinCall { params_index } => {
                let params = &data.builtin_call_params[usize::from(params_index)];
                (values(params.arg_registers()), self.pending())
            }
            FunctionCall { params_index } => {
                let params = &data.function_call_params[usize::from(params_index)];
                (values(params.arg_registers()), self.pending())
            }
            CallRule { .. } => (Vec::new(), self.pending()),
            LoopStart { params_index } => {
                let params = &data.loop_params[usize::from(params_index)];
                let inner = usize::from(params.body_start)..usize::from(params.loop_end);
                (Vec::new(), self.within(inner))
            }
            // Written within a loop, or not at all.
            Move { dest, .. } if self.is_result(body, dest) => (Vec::new(), self.within(body..pc)),
            Move { src, .. } => match self.look(body, at, src, registers) {
                (operands, causes) if operands.is_empty() => (values(&[src]), causes),
                found => found,
            },
            _ => (values(&[register]), self.pending()),
        }
    }

    /// The first loop of a body that found nothing to run over.
    fn empty_loop(&self, place: Place, end: usize, registers: &[Value]) -> Option<Failure> {
        for pc in place.body..end {
            let Instruction::LoopStart { params_index } = self.program.instructions[pc] else {
                continue;
            };
            let params = &self.program.instruction_data.loop_params[usize::from(params_index)];
            let over = registers.get(usize::from(params.collection))?.clone();
            let nothing = match &over {
                Value::Array(items) => items.is_empty(),
                Value::Set(items) => items.is_empty(),
                Value::Object(items) => items.is_empty(),
                _ => true,
            };
            if let (true, Some((line, _))) = (nothing, self.source(pc)) {
                let text = self.lines[line - 1].trim().to_owned();
                return Some(Failure {
                    progress: pc - place.body,
                    pc,
                    rule: place.rule,
                    operands: named(&text, vec![Value::Undefined, over]),
                    text: Some((line, text)),
                    causes: Vec::new(),
                });
            }
        }
        None
    }

    fn pending(&mut self) -> Vec<Failure> {
        self.calls
            .last_mut()
            .map(|call| core::mem::take(&mut call.pending))
            .unwrap_or_default()
    }

    /// Takes the failures of the call that lie in a part of its body.
    fn within(&mut self, part: core::ops::Range<usize>) -> Vec<Failure> {
        let Some(call) = self.calls.last_mut() else {
            return Vec::new();
        };
        let all = core::mem::take(&mut call.failures);
        let (inner, others) = all.into_iter().partition(|f| part.contains(&f.pc));
        call.failures = others;
        inner
    }

    fn is_result(&self, body: usize, register: u8) -> bool {
        self.places[body]
            .is_some_and(|place| self.program.rule_infos[place.rule].result_reg == register)
    }

    /// The statement that the condition is, or belongs to.
    fn statement(&self, body: usize, pc: usize, register: u8) -> Option<(usize, String)> {
        if let Some(told) = self.source(pc) {
            return Some(told);
        }
        // One that was put in belongs to what wrote its register, except for the end of a body, which is no statement.
        let at = writer(self.program, body, pc, register)?;
        match self.program.instructions[at] {
            Instruction::Move { dest, .. } if self.is_result(body, dest) => None,
            _ => self.source(at),
        }
    }

    /// Line and text of what an instruction was made from; of several lines the first.
    fn source(&self, pc: usize) -> Option<(usize, String)> {
        let span: &SpanInfo = self.program.instruction_spans.get(pc)?.as_ref()?;
        let line = self.lines.get(span.line.checked_sub(1)?)?;
        let text = line.get(byte_of(line, span.column)?..)?;
        let (whole, rest) = text.split_at_checked(span.length).unwrap_or((text, ""));
        // A span that ends with a string ends before its quotation mark.
        let open = |mark: char| whole.matches(mark).count() % 2 == 1 && rest.starts_with(mark);
        let quote = ['"', '`'].into_iter().find(|mark| open(*mark));
        let mut told = whole.trim().to_owned();
        told.extend(quote);
        Some((span.line, as_written(told)))
    }

    fn told(mut self) -> Value {
        while self.calls.len() > 1 {
            self.leave();
        }
        let mut failures = self.calls.pop().map(|c| c.failures).unwrap_or_default();
        let mut path = Vec::new();
        while let Some(failure) = furthest(&failures).cloned() {
            if let Some((line, text)) = &failure.text {
                path.push(self.step(&failure, *line, text));
            }
            failures = failure.causes;
        }
        Value::from(path)
    }

    fn step(&self, failure: &Failure, line: usize, text: &str) -> Value {
        let operands = failure.operands.iter().map(|(text, value)| {
            let mut operand = BTreeMap::from([(Value::from("text"), Value::from(text.as_str()))]);
            if *value != Value::Undefined {
                operand.insert(Value::from("value"), value.clone());
            }
            Value::from(operand)
        });
        let name = &self.program.rule_infos[failure.rule].name;
        Value::from(BTreeMap::from([
            (Value::from("rule"), Value::from(name.as_str())),
            (Value::from("line"), Value::from(line as u64)),
            (Value::from("text"), Value::from(text)),
            (
                Value::from("operands"),
                Value::from(operands.collect::<Vec<_>>()),
            ),
        ]))
    }
}

/// Where in a line a column begins. Columns are bytes, of which a tab is four.
fn byte_of(line: &str, column: usize) -> Option<usize> {
    let mut at = 1;
    for (byte, c) in line.bytes().enumerate() {
        if at >= column {
            return Some(byte);
        }
        at += if c == b'\t' { 4 } else { 1 };
    }
    None
}

/// An index by a variable of `every` is compiled as another expression of the same value (`source.rs`).
fn as_written(mut text: String) -> String {
    while let Some(end) = text.find("][0]]") {
        let Some(start) = text[..end].rfind("[[") else {
            break;
        };
        text.replace_range(end..end + 5, "]");
        text.replace_range(start..start + 2, "[");
    }
    text
}

/// The operands that a statement is written with, beside what they are. Constants say what they are themselves.
fn named(text: &str, values: Vec<Value>) -> Vec<(String, Value)> {
    let names = Source::new(text).operands();
    if names.len() != values.len() {
        return Vec::new();
    }
    let constant = |name: &str| {
        name.is_empty()
            || name.starts_with(['"', '`', '-'])
            || name.starts_with(|c: char| c.is_ascii_digit())
    };
    let pairs = names.into_iter().zip(values);
    pairs.filter(|(name, _)| !constant(name)).collect()
}

fn holds(value: &Value, mode: GuardMode) -> bool {
    match mode {
        GuardMode::Condition => !matches!(value, Value::Undefined | Value::Bool(false)),
        GuardMode::Not => matches!(value, Value::Undefined | Value::Bool(false)),
        GuardMode::NotUndefined => !matches!(value, Value::Undefined),
    }
}

/// The failure that came furthest; of several, the first.
fn furthest(failures: &[Failure]) -> Option<&Failure> {
    let mut best: Option<&Failure> = None;
    for failure in failures {
        if best.is_none_or(|b| compare(failure, b) == Ordering::Greater) {
            best = Some(failure);
        }
    }
    best
}

fn compare(a: &Failure, b: &Failure) -> Ordering {
    a.progress
        .cmp(&b.progress)
        .then_with(|| match (furthest(&a.causes), furthest(&b.causes)) {
            (Some(a), Some(b)) => compare(a, b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        })
}
