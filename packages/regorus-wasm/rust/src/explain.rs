//! Why a rule does not hold: a second run of the rule's own program, in which each condition is looked at.
//!
//! There is no second copy of the checks that could say something else than the first. Of the conditions that fail, those
//! count whose failing made the rule fail: one within a call counts with the condition that needed the call. Of several,
//! the one that came furthest is told, as that is the alternative that was nearest to holding.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use regorus::rvm::program::{Program, SpanInfo};
use regorus::rvm::Instruction;
use regorus::Value;

use crate::code::{places, Code, Place};
use crate::machine::told;
use crate::run::{run, Room, Watch};
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
    /// Those of the rule that was asked for.
    failures: Vec<Failure>,
}

/// What is asked, and how.
pub struct Question<'a> {
    pub rule: &'a str,
    pub input: Value,
    pub data: Value,
    pub limit_ms: u32,
}

/// The way to the condition that failed, outermost first: an array of {rule, line, text, operands: [{text, value}]}. A
/// value that is undefined is not there. Empty if the rule holds, or if there is nothing to tell.
///
/// `program` still has its source and spans.
pub fn explain(program: &Program, question: Question) -> Result<Value, String> {
    let code = Code::new(program)?;
    let entry = code.entries.get(question.rule).ok_or("no such rule")?;
    let source = program.sources.first().map_or("", |s| s.content.as_str());
    let mut tracer = Tracer {
        program,
        places: places(program),
        lines: source.lines().collect(),
        calls: Vec::new(),
        failures: Vec::new(),
    };
    let documents = (&question.data, &question.input);
    let limit_ms = question.limit_ms;
    let value = run(
        &code,
        *entry,
        documents,
        limit_ms,
        &mut Room::new(),
        &mut tracer,
    )
    .map_err(|stop| told(stop, limit_ms))?;
    if value == Value::Bool(true) || value[&Value::from("allowed")] == Value::Bool(true) {
        return Ok(Value::new_array());
    }
    Ok(tracer.told())
}

impl Watch for Tracer<'_> {
    fn call(&mut self, _rule: usize) {
        self.calls.push(Call {
            failures: Vec::new(),
            pending: Vec::new(),
            held: false,
        });
    }

    fn body(&mut self, _definition: usize, _body: usize) {
        if let Some(call) = self.calls.last_mut() {
            call.pending.clear();
        }
    }

    fn condition(&mut self, pc: usize, register: u8, holds: bool, registers: &[Value]) {
        let failure = (!holds).then(|| self.failure(pc, register, registers));
        let Some(call) = self.calls.last_mut() else {
            return;
        };
        if call.failures.len() < MAX_FAILURES {
            call.failures.extend(failure);
        }
        call.pending.clear();
    }

    fn held(&mut self) {
        if let Some(call) = self.calls.last_mut() {
            call.held = true;
        }
    }

    /// A call is over: if none of its bodies held, whoever made it may fail for it.
    fn leave(&mut self) {
        let Some(call) = self.calls.pop() else {
            return;
        };
        match self.calls.last_mut() {
            Some(caller) if !call.held => caller.pending.extend(call.failures),
            Some(_) => {}
            None => self.failures = call.failures,
        }
    }
}

impl Tracer<'_> {
    fn failure(&mut self, pc: usize, register: u8, registers: &[Value]) -> Failure {
        let place = self.places[pc].unwrap_or(Place { rule: 0, body: pc });
        // What is assigned is looked at afterwards, everything else before.
        let end = match self.program.instructions[pc] {
            Instruction::Move { .. } => pc + 1,
            _ => pc,
        };
        let text = self.statement(place.body, pc, end, register);
        let (values, causes) = self.look(place.body, end, register, registers);
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
    fn statement(
        &self,
        body: usize,
        pc: usize,
        end: usize,
        register: u8,
    ) -> Option<(usize, String)> {
        if matches!(self.program.instructions[pc], Instruction::Guard { .. }) {
            if let Some(told) = self.source(pc) {
                return Some(told);
            }
        }
        // Another one belongs to what wrote its register, except for the end of a body, which is no statement.
        let at = writer(self.program, body, end, register)?;
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
        let mut failures = core::mem::take(&mut self.failures);
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

/// The last instruction of a body before `pc` that may write the register.
fn writer(p: &Program, body: usize, pc: usize, register: u8) -> Option<usize> {
    (body..pc).rev().find(|at| may_write(p, *at, register))
}

fn may_write(p: &Program, pc: usize, register: u8) -> bool {
    use Instruction::*;
    match p.instructions[pc] {
        Guard { .. } | AssertEq { .. } | LoopNext { .. } | RuleInit { .. } => false,
        Load { dest, .. }
        | LoadTrue { dest }
        | LoadFalse { dest }
        | LoadNull { dest }
        | LoadBool { dest, .. }
        | LoadData { dest }
        | LoadInput { dest }
        | Move { dest, .. }
        | Add { dest, .. }
        | Sub { dest, .. }
        | Mul { dest, .. }
        | Div { dest, .. }
        | Mod { dest, .. }
        | Eq { dest, .. }
        | Ne { dest, .. }
        | Lt { dest, .. }
        | Le { dest, .. }
        | Gt { dest, .. }
        | Ge { dest, .. }
        | Not { dest, .. }
        | Index { dest, .. }
        | IndexLiteral { dest, .. }
        | Contains { dest, .. }
        | Count { dest, .. }
        | CallRule { dest, .. } => dest == register,
        BuiltinCall { params_index } => {
            p.instruction_data.builtin_call_params[usize::from(params_index)].dest == register
        }
        FunctionCall { params_index } => {
            p.instruction_data.function_call_params[usize::from(params_index)].dest == register
        }
        ChainedIndex { params_index } => {
            p.instruction_data.chained_index_params[usize::from(params_index)].dest == register
        }
        ArrayCreate { params_index } => {
            p.instruction_data.array_create_params[usize::from(params_index)].dest == register
        }
        ObjectCreate { params_index } => {
            p.instruction_data.object_create_params[usize::from(params_index)].dest == register
        }
        SetCreate { params_index } => {
            p.instruction_data.set_create_params[usize::from(params_index)].dest == register
        }
        LoopStart { params_index } => {
            let l = &p.instruction_data.loop_params[usize::from(params_index)];
            [l.key_reg, l.value_reg, l.result_reg].contains(&register)
        }
        ComprehensionBegin { params_index } => {
            let c = &p.instruction_data.comprehension_begin_params[usize::from(params_index)];
            [c.key_reg, c.value_reg, c.result_reg].contains(&register)
        }
        ComprehensionYield { .. } | ComprehensionEnd {} => false,
        _ => true,
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
