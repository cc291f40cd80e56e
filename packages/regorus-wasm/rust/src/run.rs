//! One evaluation of a rule by the machine.

use std::collections::BTreeSet;

use regorus::rvm::instructions::{GuardMode, LiteralOrRegister, ObjectCreateParams};
use regorus::{Rc, Value};

use crate::builtin::Places;
use crate::code::{Arithmetic, Body, Code, Comparison, Definition, Loop, Op, BODY};
use crate::host::now_ms;

/// Why there is no value.
#[derive(Debug)]
pub enum Stop {
    /// Something is an error to the interpreter, or could be one: it has the answer.
    Unknown,
    Timeout {
        elapsed_ms: f64,
    },
}

/// Operations between two looks at the clock. A look crosses to the host, so not at each operation.
const OPERATIONS_PER_LOOK: u32 = 256;
/// Calls within calls. Rules do not call themselves, so it takes as many rules to get there.
const MAX_DEPTH: usize = 200;

/// Who looks on while a rule is evaluated.
pub trait Watch {
    fn call(&mut self, _rule: usize) {}
    /// A body begins: the number of the definition and of the body in it.
    fn body(&mut self, _definition: usize, _body: usize) {}
    /// A condition at this position is looked at: about which register, and whether it holds.
    fn condition(&mut self, _pc: usize, _register: u8, _holds: bool, _registers: &[Value]) {}
    /// The body holds.
    fn held(&mut self) {}
    fn leave(&mut self) {}
}

/// Nobody.
pub struct Unwatched;

impl Watch for Unwatched {}

/// How long an evaluation may take.
#[derive(Clone, Copy)]
pub struct Limit {
    pub limit_ms: u32,
    since_ms: f64,
    left: u32,
}

impl Limit {
    /// From now on; 0 is no limit.
    pub fn new(limit_ms: u32) -> Self {
        Self {
            limit_ms,
            since_ms: if limit_ms > 0 { now_ms() } else { 0.0 },
            left: OPERATIONS_PER_LOOK,
        }
    }

    #[inline(always)]
    fn count(&mut self) -> Result<(), Stop> {
        self.left -= 1;
        if self.left > 0 {
            return Ok(());
        }
        self.look()
    }

    #[cold]
    fn look(&mut self) -> Result<(), Stop> {
        self.left = OPERATIONS_PER_LOOK;
        if self.limit_ms == 0 {
            return Ok(());
        }
        let elapsed_ms = now_ms() - self.since_ms;
        if elapsed_ms > f64::from(self.limit_ms) {
            return Err(Stop::Timeout { elapsed_ms });
        }
        Ok(())
    }
}

/// Where a loop is.
enum Turn {
    Array(Rc<Vec<Value>>, usize),
    /// Keys and values, and how many were had.
    Pairs(Vec<(Value, Value)>, usize),
}

struct OpenLoop {
    turn: Turn,
    succeeded: bool,
}

/// What an evaluation needs and the next one can use again. It holds nothing between two of them.
pub struct Room {
    registers: Vec<Value>,
    loops: Vec<OpenLoop>,
    values: Vec<Option<Value>>,
    places: Places,
}

impl Room {
    pub fn new() -> Self {
        Self {
            registers: Vec::new(),
            loops: Vec::new(),
            values: Vec::new(),
            places: Places::new(),
        }
    }

    fn clear(&mut self) {
        self.registers.clear();
        self.loops.clear();
        self.values.clear();
    }
}

struct Run<'a, W: Watch> {
    code: &'a Code,
    data: &'a Value,
    input: &'a Value,
    room: &'a mut Room,
    limit: Limit,
    depth: usize,
    watch: &'a mut W,
}

/// The value of the rule that begins at `entry`; `Value::Undefined` is one.
pub fn run<W: Watch>(
    code: &Code,
    entry: u16,
    (data, input): (&Value, &Value),
    limit_ms: u32,
    room: &mut Room,
    watch: &mut W,
) -> Result<Value, Stop> {
    room.clear();
    room.registers.resize(code.registers, Value::Undefined);
    room.values.resize(code.rules.len(), None);
    let mut run = Run {
        code,
        data,
        input,
        room,
        limit: Limit::new(limit_ms),
        depth: 0,
        watch,
    };
    let value = run.entry(usize::from(entry));
    room.clear();
    value
}

impl<W: Watch> Run<'_, W> {
    fn entry(&mut self, pc: usize) -> Result<Value, Stop> {
        self.body(pc, 0)?;
        // An entry point leaves its value in the first register that it has.
        Ok(core::mem::replace(
            &mut self.room.registers[0],
            Value::Undefined,
        ))
    }

    fn rule(&mut self, index: usize, arguments: &[u8], caller: usize) -> Result<Value, Stop> {
        let code = self.code;
        let rule = &code.rules[index];
        if let (false, Some(known)) = (rule.function, &self.room.values[index]) {
            return Ok(known.clone());
        }
        let value = if rule.definitions.is_empty() {
            rule.default.clone().unwrap_or(Value::Undefined)
        } else {
            if self.depth >= MAX_DEPTH {
                return Err(Stop::Unknown);
            }
            self.depth += 1;
            self.watch.call(index);
            let base = self.room.registers.len();
            let registers = &mut self.room.registers;
            registers.reserve(rule.registers);
            registers.push(if rule.set {
                Value::new_set()
            } else {
                Value::Undefined
            });
            for argument in arguments {
                registers.push(registers[caller + usize::from(*argument)].clone());
            }
            registers.resize(base + rule.registers, Value::Undefined);
            let value = self.definitions(index, base, 1 + arguments.len())?;
            self.room.registers.truncate(base);
            self.watch.leave();
            self.depth -= 1;
            value
        };
        if !rule.function {
            self.room.values[index] = Some(value.clone());
        }
        Ok(value)
    }

    /// All definitions are evaluated, as two values are an error, and so is what fails in one of them.
    fn definitions(&mut self, index: usize, base: usize, kept: usize) -> Result<Value, Stop> {
        let code = self.code;
        let rule = &code.rules[index];
        let result = base + usize::from(rule.result);
        let mut value: Option<Value> = None;
        let mut used = false;
        for (at, definition) in rule.definitions.iter().enumerate() {
            let held = self.definition(definition, at, base, kept, rule.set, &mut used)?;
            if rule.set || !held {
                continue;
            }
            let found = core::mem::replace(&mut self.room.registers[result], Value::Undefined);
            match &value {
                None => value = Some(found),
                Some(first) if *first == found => {}
                Some(_) => return Err(Stop::Unknown),
            }
        }
        if rule.set {
            let members = &mut self.room.registers[result];
            return Ok(core::mem::replace(members, Value::Undefined));
        }
        let default = || rule.default.clone().unwrap_or(Value::Undefined);
        Ok(value.unwrap_or_else(default))
    }

    /// Whether one of the definition's bodies holds: the first, or the first after an `else`.
    fn definition(
        &mut self,
        definition: &Definition,
        at: usize,
        base: usize,
        kept: usize,
        set: bool,
        used: &mut bool,
    ) -> Result<bool, Stop> {
        for (number, body) in definition.bodies.iter().enumerate() {
            if core::mem::replace(used, true) {
                for register in &mut self.room.registers[base + kept..] {
                    *register = Value::Undefined;
                }
                if !set {
                    self.room.registers[base] = Value::Undefined;
                }
            }
            if let Some(parameters) = definition.parameters {
                if !self.body(usize::from(parameters), base)? {
                    return Ok(false);
                }
            }
            self.load(body, base);
            self.watch.body(at, number);
            if self.body(usize::from(body.entry), base)? {
                self.watch.held();
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn load(&mut self, body: &Body, base: usize) {
        for register in &body.inputs {
            self.room.registers[base + usize::from(*register)] = self.input.clone();
        }
        for register in &body.data {
            self.room.registers[base + usize::from(*register)] = self.data.clone();
        }
    }

    /// Whether what begins at `pc` holds; its registers begin at `base`.
    fn body(&mut self, pc: usize, base: usize) -> Result<bool, Stop> {
        let code = self.code;
        let loops = self.room.loops.len();
        let mut pc = pc;
        // A condition failed on the way here; who ends a turn or a comprehension takes note.
        let mut failed = false;
        macro_rules! at {
            ($register:expr) => {
                self.room.registers[base + usize::from($register)]
            };
        }
        macro_rules! fail {
            ($to:expr) => {{
                if $to == BODY {
                    self.room.loops.truncate(loops);
                    return Ok(false);
                }
                failed = true;
                pc = usize::from($to);
            }};
        }
        macro_rules! look {
            ($register:expr, $holds:expr) => {
                self.watch
                    .condition(pc - 1, $register, $holds, &self.room.registers[base..])
            };
        }
        loop {
            self.limit.count()?;
            let op = code.ops[pc];
            pc += 1;
            match op {
                Op::Load { dest, literal } => {
                    at!(dest) = code.literals[usize::from(literal)].clone();
                }
                Op::Bool { dest, value } => at!(dest) = Value::Bool(value),
                Op::Null { dest } => at!(dest) = Value::Null,
                Op::Data { dest } => at!(dest) = self.data.clone(),
                Op::Input { dest } => at!(dest) = self.input.clone(),
                Op::Move { dest, src, fail } => {
                    let value = at!(src).clone();
                    let holds = !matches!(value, Value::Undefined);
                    at!(dest) = value;
                    look!(dest, holds);
                    if !holds {
                        fail!(fail);
                    }
                }
                Op::Result { dest, src, fail } => {
                    let value = at!(src).clone();
                    let holds = !matches!(value, Value::Undefined);
                    if holds && !matches!(at!(dest), Value::Undefined) && at!(dest) != value {
                        return Err(Stop::Unknown);
                    }
                    at!(dest) = value;
                    look!(dest, holds);
                    if !holds {
                        fail!(fail);
                    }
                }
                Op::Calculate {
                    how,
                    dest,
                    left,
                    right,
                } => at!(dest) = calculate(how, &at!(left), &at!(right))?,
                Op::Compare {
                    how,
                    dest,
                    left,
                    right,
                } => at!(dest) = compare(how, &at!(left), &at!(right)),
                Op::Not { dest, operand } => at!(dest) = Value::Bool(!is_true(&at!(operand))),
                Op::Guard {
                    register,
                    mode,
                    fail,
                } => {
                    let holds = match mode {
                        GuardMode::Condition => is_true(&at!(register)),
                        GuardMode::Not => !is_true(&at!(register)),
                        GuardMode::NotUndefined => !matches!(at!(register), Value::Undefined),
                    };
                    look!(register, holds);
                    if !holds {
                        fail!(fail);
                    }
                }
                Op::Builtin { call } => {
                    let call = &code.builtin_calls[usize::from(call)];
                    let mut arguments = [&Value::Undefined; 8];
                    for (argument, register) in arguments.iter_mut().zip(&call.arguments) {
                        *argument = &self.room.registers[base + usize::from(*register)];
                    }
                    let arguments = &arguments[..call.arguments.len()];
                    let value = call.builtin.call(arguments, &mut self.room.places)?;
                    at!(call.dest) = value;
                }
                Op::Function { call } => {
                    let call = &code.function_calls[usize::from(call)];
                    let value = self.rule(usize::from(call.rule), &call.arguments, base)?;
                    at!(call.dest) = value;
                }
                Op::Rule { dest, rule } => at!(dest) = self.rule(usize::from(rule), &[], base)?,
                Op::Return { value } => {
                    let value = at!(value).clone();
                    at!(0u8) = value;
                    return Ok(true);
                }
                Op::Done => return Ok(true),
                Op::Value { result } => {
                    let holds = !matches!(at!(result), Value::Undefined);
                    look!(result, holds);
                    return Ok(holds);
                }
                Op::Close => failed = false,
                Op::Nothing => {}
                Op::Index {
                    dest,
                    container,
                    key,
                } => at!(dest) = at!(container)[&at!(key)].clone(),
                Op::Member {
                    dest,
                    container,
                    literal,
                } => at!(dest) = at!(container)[&code.literals[usize::from(literal)]].clone(),
                Op::Path { path } => {
                    let path = &code.paths[usize::from(path)];
                    let mut value = &at!(path.root);
                    for step in &path.steps {
                        let key = match *step {
                            LiteralOrRegister::Literal(index) => &code.literals[usize::from(index)],
                            LiteralOrRegister::Register(register) => &at!(register),
                        };
                        value = &value[key];
                    }
                    at!(path.dest) = value.clone();
                }
                Op::Object { object } => {
                    let params = &code.objects[usize::from(object)];
                    at!(params.dest) = object_of(code, params, &self.room.registers[base..])?;
                }
                Op::Array { list } => {
                    let list = &code.lists[usize::from(list)];
                    let elements = list.elements.iter().map(|element| &at!(*element));
                    at!(list.dest) = match defined(elements) {
                        Some(elements) => Value::from(elements),
                        None => Value::Undefined,
                    };
                }
                Op::Set { list } => {
                    let list = &code.lists[usize::from(list)];
                    let elements = list.elements.iter().map(|element| &at!(*element));
                    at!(list.dest) = match defined(elements) {
                        Some(elements) => {
                            Value::from(elements.into_iter().collect::<BTreeSet<Value>>())
                        }
                        None => Value::Undefined,
                    };
                }
                Op::SetAdd { set, value, fail } => {
                    let member = at!(value).clone();
                    let holds = !matches!(member, Value::Undefined);
                    look!(value, holds);
                    match &mut at!(set) {
                        _ if !holds => fail!(fail),
                        Value::Set(members) => {
                            Rc::make_mut(members).insert(member);
                        }
                        _ => return Err(Stop::Unknown),
                    }
                }
                Op::Contains {
                    dest,
                    collection,
                    value,
                } => {
                    let value = &at!(value);
                    let found = match &at!(collection) {
                        Value::Set(members) => members.contains(value),
                        Value::Array(elements) => elements.contains(value),
                        Value::Object(fields) => fields.values().any(|field| field == value),
                        _ => false,
                    };
                    at!(dest) = Value::Bool(found);
                }
                Op::Count { dest, collection } => {
                    at!(dest) = match &at!(collection) {
                        Value::Array(elements) => Value::from(elements.len()),
                        Value::Set(members) => Value::from(members.len()),
                        Value::Object(fields) => Value::from(fields.len()),
                        _ => Value::Undefined,
                    };
                }
                Op::Loop { turns } => {
                    let turns = &code.loops[usize::from(turns)];
                    let turn = match &at!(turns.collection) {
                        Value::Array(elements) => Turn::Array(elements.clone(), 0),
                        Value::Object(fields) => Turn::Pairs(
                            fields.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
                            0,
                        ),
                        Value::Set(members) => {
                            Turn::Pairs(members.iter().map(|m| (m.clone(), m.clone())).collect(), 0)
                        }
                        Value::Undefined => {
                            // `every` over nothing does not hold, and is not false either.
                            at!(turns.result) = match turns.every {
                                true => Value::Undefined,
                                false => Value::Bool(false),
                            };
                            pc = usize::from(turns.end);
                            continue;
                        }
                        _ => return Err(Stop::Unknown),
                    };
                    let mut open = OpenLoop {
                        turn,
                        succeeded: false,
                    };
                    if open.next(turns, &mut self.room.registers[base..]) {
                        self.room.loops.push(open);
                    } else {
                        at!(turns.result) = Value::Bool(turns.every);
                        pc = usize::from(turns.end);
                    }
                }
                Op::Next { turns } => {
                    let turns = &code.loops[usize::from(turns)];
                    let Some(open) = self.room.loops.last_mut() else {
                        return Err(Stop::Unknown);
                    };
                    open.succeeded |= !failed;
                    let over = turns.every && failed;
                    if !over && open.next(turns, &mut self.room.registers[base..]) {
                        pc = usize::from(turns.body);
                    } else {
                        let value = !over && (turns.every || open.succeeded);
                        self.room.loops.pop();
                        at!(turns.result) = Value::Bool(value);
                        pc = usize::from(turns.end);
                    }
                    failed = false;
                }
                Op::NewArray { dest } => at!(dest) = Value::new_array(),
                Op::NewSet { dest } => at!(dest) = Value::new_set(),
                Op::Yield { into, value, fail } => {
                    let element = at!(value).clone();
                    let holds = !matches!(element, Value::Undefined);
                    look!(value, holds);
                    match &mut at!(into) {
                        _ if !holds => fail!(fail),
                        Value::Array(elements) => Rc::make_mut(elements).push(element),
                        Value::Set(members) => {
                            Rc::make_mut(members).insert(element);
                        }
                        _ => return Err(Stop::Unknown),
                    }
                }
            }
        }
    }
}

impl OpenLoop {
    /// Begins the next turn; false if there is none.
    #[inline]
    fn next(&mut self, turns: &Loop, registers: &mut [Value]) -> bool {
        let (key, value) = (usize::from(turns.key), usize::from(turns.value));
        match &mut self.turn {
            Turn::Array(elements, next) => {
                let Some(element) = elements.get(*next) else {
                    return false;
                };
                if key != value {
                    registers[key] = Value::from(*next);
                }
                registers[value] = element.clone();
                *next += 1;
            }
            Turn::Pairs(pairs, next) => {
                let Some((of, element)) = pairs.get(*next) else {
                    return false;
                };
                if key != value {
                    registers[key] = of.clone();
                }
                registers[value] = element.clone();
                *next += 1;
            }
        }
        true
    }
}

#[inline]
fn is_true(value: &Value) -> bool {
    !matches!(value, Value::Undefined | Value::Bool(false))
}

/// All of them, if none is undefined.
fn defined<'a>(values: impl Iterator<Item = &'a Value> + Clone) -> Option<Vec<Value>> {
    let mut all = values.clone();
    let whole = all.all(|value| !matches!(value, Value::Undefined));
    whole.then(|| values.cloned().collect())
}

fn object_of(code: &Code, params: &ObjectCreateParams, registers: &[Value]) -> Result<Value, Stop> {
    let at = |register: u8| &registers[usize::from(register)];
    let literal = |index: u16| &code.literals[usize::from(index)];
    let known = params.literal_key_fields.iter();
    let known = known.map(|(key, value)| (literal(*key), at(*value)));
    let others = params.fields.iter();
    let others = others.map(|(key, value)| (at(*key), at(*value)));
    let pairs = known.chain(others);
    let nothing = |value: &Value| matches!(value, Value::Undefined);
    if pairs
        .clone()
        .any(|(key, value)| nothing(key) || nothing(value))
    {
        return Ok(Value::Undefined);
    }
    let mut object = literal(params.template_literal_idx).clone();
    let fields = object.as_object_mut().map_err(|_| Stop::Unknown)?;
    for (key, value) in pairs {
        fields.insert(key.clone(), value.clone());
    }
    Ok(object)
}

/// Nothing comes of nothing, and what is no arithmetic is an error.
fn calculate(how: Arithmetic, left: &Value, right: &Value) -> Result<Value, Stop> {
    let (x, y) = match (left, right) {
        (Value::Undefined, _) | (_, Value::Undefined) => return Ok(Value::Undefined),
        (Value::Number(x), Value::Number(y)) => (x, y),
        (Value::Set(x), Value::Set(y)) if matches!(how, Arithmetic::Sub) => {
            return Ok(Value::from(
                x.difference(y).cloned().collect::<BTreeSet<Value>>(),
            ));
        }
        _ => return Err(Stop::Unknown),
    };
    let by_zero = || *right == Value::from(0u64);
    let number = match how {
        Arithmetic::Add => x.add(y),
        Arithmetic::Sub => x.sub(y),
        Arithmetic::Mul => x.mul(y),
        Arithmetic::Div | Arithmetic::Mod if by_zero() => return Ok(Value::Undefined),
        Arithmetic::Div => x.clone().divide(y),
        Arithmetic::Mod if !x.is_integer() || !y.is_integer() => return Err(Stop::Unknown),
        Arithmetic::Mod => x.clone().modulo(y),
    };
    number.map(Value::Number).map_err(|_| Stop::Unknown)
}

#[inline]
fn compare(how: Comparison, left: &Value, right: &Value) -> Value {
    if matches!(left, Value::Undefined) || matches!(right, Value::Undefined) {
        return Value::Undefined;
    }
    Value::Bool(match how {
        Comparison::Eq => left == right,
        Comparison::Ne => left != right,
        Comparison::Lt => left < right,
        Comparison::Le => left <= right,
        Comparison::Gt => left > right,
        Comparison::Ge => left >= right,
    })
}
