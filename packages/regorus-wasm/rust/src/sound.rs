//! Makes a compiled program say what the interpreter says.
//!
//! regorus's register machine departs from its interpreter, some of it towards allowing: a variable bound to nothing
//! goes on as if it were bound, a rule that yields two values takes one of them, an error within a rule counts as a
//! rule that does not hold. The program is repaired where instructions put in can do it, and refused where not; where
//! an evaluation meets what the interpreter calls an error, it ends at once, and the interpreter is asked.
//! `README.md` lists what was found, and the fuzz test that found it.

use std::collections::{BTreeMap, BTreeSet};

use regorus::rvm::instructions::{
    BuiltinCallParams, ComprehensionMode, FunctionCallParams, GuardMode, LoopMode, LoopStartParams,
};
use regorus::rvm::program::{BuiltinInfo, Program, RuleInfo, RuleType};
use regorus::rvm::Instruction;
use regorus::{Rc, Value};

/// Why a rule is left to the interpreter.
pub type Unfit = &'static str;

/// A pattern over the bound of regorus, which ends an evaluation and is not taken for a condition that fails: the one
/// way for a program to say that it does not know.
const ABORT: &str = "(?:a{1000}){1000}";

/// Registers of a rule's window; the numbers are bytes, and 255 is the compiler's own bound.
pub const MAX_REGISTERS: usize = 250;
/// Registers that a check uses.
const SCRATCH: usize = 4;
/// Definitions of one rule with values that may differ. Each pair is compared.
const MAX_DEFINITIONS: usize = 8;

/// What a check looks at.
enum Look {
    /// The kind of value in a register; the table says which are well.
    Kind(u8),
    /// Whether two registers hold the same; undefined where one holds nothing.
    Same(u8, u8),
}

/// The constants that checks use.
struct Tables {
    type_name: u16,
    regex_match: u16,
    empty: u16,
    numbers: u16,
    sets: u16,
    collections: u16,
    same: u16,
}

/// Where an instruction belongs.
#[derive(Clone, Copy)]
pub struct Place {
    pub rule: usize,
    /// Position of the body's first instruction.
    pub body: usize,
}

/// Instructions to put before a position, in order.
pub type Insertions = Vec<(usize, Instruction)>;

/// The program with its defects repaired, or why that cannot be.
pub fn sound(program: &Program) -> Result<Program, Unfit> {
    let mut p = program.clone();
    refuse_unsupported(&p)?;
    refuse_comprehensions_in_heads(&p)?;
    let tables = Tables::add(&mut p);
    join_definitions(&mut p, &tables)?;
    wrap_comprehensions(&mut p)?;
    let places = places(&p);
    let mut insertions = Vec::new();
    let mut checked = BTreeSet::new();
    let instructions = p.instructions.clone();
    for (pc, instruction) in instructions.iter().enumerate() {
        let checks = repair(&p, &tables, &places, pc, instruction, &mut insertions)?;
        for (look, table) in checks {
            let place = places[pc].ok_or("a check outside of a body")?;
            checked.insert(place.rule);
            let scratch = usize::from(p.rule_infos[place.rule].num_registers);
            check(&mut p, &tables, pc, scratch, look, table, &mut insertions)?;
        }
    }
    for rule in checked {
        p.rule_infos[rule].num_registers += SCRATCH as u8;
    }
    let widest = p.rule_infos.iter().map(|r| r.num_registers).max();
    p.max_rule_window_size = p.max_rule_window_size.max(widest.unwrap_or(0));
    splice(&mut p, insertions)?;
    p.resolved_builtins.clear();
    p.initialize_resolved_builtins()
        .map_err(|_| "an unknown builtin")?;
    p.validate_limits().map_err(|_| "a limit of the machine")?;
    Ok(p)
}

fn refuse_unsupported(p: &Program) -> Result<(), Unfit> {
    for i in &p.instructions {
        match i {
            Instruction::VirtualDataDocumentLookup { .. } => {
                return Err("a reference to a package")
            }
            Instruction::HostAwait { .. } => return Err("a call of the host"),
            _ => {}
        }
    }
    for c in &p.instruction_data.comprehension_begin_params {
        if matches!(c.mode, ComprehensionMode::Object) {
            return Err("an object comprehension");
        }
    }
    for f in &p.instruction_data.function_call_params {
        let called = &p.rule_infos[usize::from(f.func_rule_index)].function_info;
        if called.as_ref().map(|c| c.num_params) != Some(u32::from(f.num_args)) {
            return Err("a call with another number of arguments");
        }
    }
    for r in &p.rule_infos {
        if matches!(r.rule_type, RuleType::PartialObject) {
            return Err("a partial object");
        }
        let default = r.default_literal_index.map(|l| &p.literals[usize::from(l)]);
        if matches!(
            default,
            Some(Value::Array(_) | Value::Set(_) | Value::Object(_))
        ) {
            return Err("a default that is no scalar");
        }
        for entry in r.destructuring_blocks.iter().flatten() {
            refuse_parameters(p, *entry as usize)?;
        }
    }
    Ok(())
}

/// The interpreter does not schedule a comprehension in the head of a rule that has a body, which is an error to it.
/// The head comes before the statements of its body, and is compiled after them.
fn refuse_comprehensions_in_heads(p: &Program) -> Result<(), Unfit> {
    use Instruction::*;
    let position = |pc: usize| match p.instruction_spans.get(pc) {
        Some(Some(span)) => Some((span.line, span.column)),
        _ => None,
    };
    for (pc, place) in places(p).iter().enumerate() {
        if let (ComprehensionBegin { .. }, Some(Place { body, .. })) = (p.instructions[pc], place) {
            let statement = |q: &usize| matches!(p.instructions[*q], Guard { .. } | Move { .. });
            let mut before = (*body..pc).filter(statement);
            if before.any(|q| position(q) > position(pc)) {
                return Err("a comprehension in a rule's head");
            }
        }
    }
    Ok(())
}

/// Parameters are names, constants, and arrays and objects of those.
fn refuse_parameters(p: &Program, entry: usize) -> Result<(), Unfit> {
    use Instruction::*;
    for i in &p.instructions[entry..] {
        match i {
            DestructuringSuccess {} => return Ok(()),
            Move { .. }
            | Load { .. }
            | Eq { .. }
            | Guard { .. }
            | IndexLiteral { .. }
            | Count { .. } => {}
            _ => return Err("a parameter that is an expression"),
        }
    }
    Err("a parameter without an end")
}

impl Tables {
    fn add(p: &mut Program) -> Self {
        let kinds = |p: &mut Program, well: &[&str]| {
            let all = [
                "number", "string", "boolean", "null", "array", "object", "set",
            ];
            let table = all.map(|k| (Value::from(k), verdict(well.contains(&k))));
            literal(p, Value::from(BTreeMap::from(table)))
        };
        let same = [true, false].map(|k| (Value::from(k), verdict(k)));
        Self {
            type_name: builtin(p, "type_name", 1),
            regex_match: builtin(p, "regex.match", 2),
            empty: literal(p, Value::from("")),
            numbers: kinds(p, &["number"]),
            sets: kinds(p, &["set"]),
            collections: kinds(p, &["array", "object", "set"]),
            same: literal(p, Value::from(BTreeMap::from(same))),
        }
    }
}

fn verdict(well: bool) -> Value {
    Value::from(if well { "" } else { ABORT })
}

fn builtin(p: &mut Program, name: &str, num_args: u16) -> u16 {
    match p.builtin_info_table.iter().position(|b| b.name == name) {
        Some(index) => index as u16,
        None => p.add_builtin_info(BuiltinInfo {
            name: name.into(),
            num_args,
        }),
    }
}

fn literal(p: &mut Program, value: Value) -> u16 {
    match p.literals.iter().position(|l| *l == value) {
        Some(index) => index as u16,
        None => {
            p.literals.push(value);
            (p.literals.len() - 1) as u16
        }
    }
}

/// Looks, and ends the evaluation where the look is not well. A look at nothing is well.
fn check(
    p: &mut Program,
    tables: &Tables,
    pc: usize,
    scratch: usize,
    look: Look,
    table: u16,
    out: &mut Insertions,
) -> Result<(), Unfit> {
    if scratch + SCRATCH > MAX_REGISTERS {
        return Err("too many registers");
    }
    let [found, container, pattern, empty] = [0, 1, 2, 3].map(|i| (scratch + i) as u8);
    match look {
        Look::Kind(register) => {
            let params_index = call(p, tables.type_name, found, &[register]);
            out.push((pc, Instruction::BuiltinCall { params_index }));
        }
        Look::Same(left, right) => out.push((
            pc,
            Instruction::Eq {
                dest: found,
                left,
                right,
            },
        )),
    }
    out.push((
        pc,
        Instruction::Load {
            dest: container,
            literal_idx: table,
        },
    ));
    out.push((
        pc,
        Instruction::Index {
            dest: pattern,
            container,
            key: found,
        },
    ));
    out.push((
        pc,
        Instruction::Load {
            dest: empty,
            literal_idx: tables.empty,
        },
    ));
    let params_index = call(p, tables.regex_match, found, &[pattern, empty]);
    out.push((pc, Instruction::BuiltinCall { params_index }));
    Ok(())
}

fn call(p: &mut Program, builtin_index: u16, dest: u8, given: &[u8]) -> u16 {
    let mut args = [0; 8];
    args[..given.len()].copy_from_slice(given);
    p.add_builtin_call_params(BuiltinCallParams {
        dest,
        builtin_index,
        num_args: given.len() as u8,
        args,
    })
}

/// A rule with several definitions whose values may differ becomes one that calls each of them as a rule of its own,
/// takes the first value, and checks that no other one differs.
fn join_definitions(p: &mut Program, tables: &Tables) -> Result<(), Unfit> {
    for rule in 0..p.rule_infos.len() {
        let info = p.rule_infos[rule].clone();
        // The interpreter evaluates all definitions, and an error in one of them is an error.
        p.rule_infos[rule].early_exit_on_first_success = false;
        let several = info.definitions.len() > 1 && matches!(info.rule_type, RuleType::Complete);
        if !several || info.early_exit_on_first_success {
            continue;
        }
        if info.definitions.len() > MAX_DEFINITIONS {
            return Err("too many definitions");
        }
        let parts: Vec<u16> = (0..info.definitions.len())
            .map(|index| part(p, &info, index))
            .collect();
        let arguments = info
            .function_info
            .as_ref()
            .map_or(0, |f| f.num_params as usize);
        let first = 1 + arguments;
        let bodies = (0..parts.len())
            .map(|from| join(p, tables, rule, &parts, from, arguments, first))
            .collect::<Result<Vec<u32>, Unfit>>()?;
        let joined = &mut p.rule_infos[rule];
        joined.definitions = Rc::new(vec![bodies]);
        joined.destructuring_blocks = vec![None];
        joined.result_reg = 0;
        joined.num_registers = (first + parts.len() + SCRATCH) as u8;
    }
    Ok(())
}

/// One definition of a rule as a rule of its own; its index.
fn part(p: &mut Program, whole: &RuleInfo, index: usize) -> u16 {
    let mut part = whole.clone();
    part.definitions = Rc::new(vec![whole.definitions[index].clone()]);
    part.destructuring_blocks = vec![whole.destructuring_blocks.get(index).copied().flatten()];
    part.default_literal_index = None;
    part.early_exit_on_first_success = false;
    p.rule_infos.push(part);
    (p.rule_infos.len() - 1) as u16
}

/// A body that holds where the definition `from` does, if none before it did; its position.
fn join(
    p: &mut Program,
    tables: &Tables,
    rule: usize,
    parts: &[u16],
    from: usize,
    arguments: usize,
    first: usize,
) -> Result<u32, Unfit> {
    let entry = p.instructions.len();
    let value = |index: usize| (first + index) as u8;
    let mut code: Insertions = vec![(
        0,
        Instruction::RuleInit {
            result_reg: 0,
            rule_index: rule as u16,
        },
    )];
    for index in from..parts.len() {
        let mut args = [0; 8];
        for (i, arg) in args.iter_mut().enumerate().take(arguments) {
            *arg = (1 + i) as u8;
        }
        let called = if p.rule_infos[rule].function_info.is_some() {
            let params_index = p.add_function_call_params(FunctionCallParams {
                func_rule_index: parts[index],
                dest: value(index),
                num_args: arguments as u8,
                args,
            });
            Instruction::FunctionCall { params_index }
        } else {
            Instruction::CallRule {
                dest: value(index),
                rule_index: parts[index],
            }
        };
        code.push((0, called));
        if index == from {
            code.push((0, defined(value(from))));
        } else {
            let look = Look::Same(value(from), value(index));
            check(
                p,
                tables,
                0,
                first + parts.len(),
                look,
                tables.same,
                &mut code,
            )?;
        }
    }
    code.push((
        0,
        Instruction::Move {
            dest: 0,
            src: value(from),
        },
    ));
    code.push((0, Instruction::RuleReturn {}));
    for (_, instruction) in code {
        p.add_instruction(instruction, None);
    }
    Ok(entry as u32)
}

fn defined(register: u8) -> Instruction {
    Instruction::Guard {
        register,
        mode: GuardMode::NotUndefined,
    }
}

/// A condition that fails in a comprehension, outside of the comprehension's own loops, is taken for one of the loop
/// around it, or leaves the comprehension open. So each comprehension gets a loop of its own that runs once.
fn wrap_comprehensions(p: &mut Program) -> Result<(), Unfit> {
    let places = places(p);
    let once = literal(p, Value::from(vec![Value::Null]));
    let mut insertions = Vec::new();
    let mut open = Vec::new();
    let mut wrapped = BTreeSet::new();
    for (pc, instruction) in p.instructions.clone().iter().enumerate() {
        match instruction {
            Instruction::ComprehensionBegin { .. } => {
                let rule = places[pc].ok_or("a comprehension outside of a body")?.rule;
                wrapped.insert(rule);
                let scratch = usize::from(p.rule_infos[rule].num_registers);
                if scratch + SCRATCH > MAX_REGISTERS {
                    return Err("too many registers");
                }
                let [result_reg, collection, item] = [0, 1, 2].map(|i| (scratch + i) as u8);
                let params_index = p.add_loop_params(LoopStartParams {
                    mode: LoopMode::ForEach,
                    collection,
                    key_reg: item,
                    value_reg: item,
                    result_reg,
                    body_start: 0,
                    loop_end: 0,
                });
                open.push(params_index);
                insertions.push((
                    pc + 1,
                    Instruction::Load {
                        dest: collection,
                        literal_idx: once,
                    },
                ));
                insertions.push((pc + 1, Instruction::LoopStart { params_index }));
            }
            Instruction::ComprehensionEnd {} => {
                let params_index = open.pop().ok_or("a comprehension without a beginning")?;
                insertions.push((
                    pc,
                    Instruction::LoopNext {
                        body_start: params_index,
                        loop_end: 0,
                    },
                ));
            }
            _ => {}
        }
    }
    for rule in wrapped {
        p.rule_infos[rule].num_registers += SCRATCH as u8;
    }
    let added = splice(p, insertions)?;
    // Where the new loops lie is known only now; their ends carry the index of their parameters till here.
    for pc in added {
        match p.instructions[pc] {
            Instruction::LoopStart { params_index } => {
                p.instruction_data.loop_params[usize::from(params_index)].body_start =
                    pc as u16 + 1;
            }
            Instruction::LoopNext { body_start, .. } => {
                let params = &mut p.instruction_data.loop_params[usize::from(body_start)];
                params.loop_end = pc as u16 + 1;
                p.instructions[pc] = Instruction::LoopNext {
                    body_start: params.body_start,
                    loop_end: params.loop_end,
                };
            }
            _ => {}
        }
    }
    Ok(())
}

/// To which body each instruction belongs; those of parameters belong to none.
pub fn places(p: &Program) -> Vec<Option<Place>> {
    let mut places = vec![None; p.instructions.len()];
    for (rule, info) in p.rule_infos.iter().enumerate() {
        for body in info.definitions.iter().flatten() {
            let body = *body as usize;
            for pc in body..p.instructions.len() {
                places[pc] = Some(Place { rule, body });
                if matches!(p.instructions[pc], Instruction::RuleReturn {}) {
                    break;
                }
            }
        }
    }
    places
}

/// What has to be put in around an instruction; the checks before it are returned.
fn repair(
    p: &Program,
    tables: &Tables,
    places: &[Option<Place>],
    pc: usize,
    instruction: &Instruction,
    out: &mut Insertions,
) -> Result<Vec<(Look, u16)>, Unfit> {
    use Instruction::*;
    let mut checks = Vec::new();
    match *instruction {
        // Loaded where first used, which may be in a loop that runs no time or a comprehension; used also behind it.
        LoadInput { .. } | LoadData { .. } => {
            let place = places[pc].ok_or("a document outside of a body")?;
            out.push((place.body + 1, *instruction));
        }
        Move { dest, src } => {
            // What is assigned nothing does not hold.
            out.push((pc + 1, defined(dest)));
            if let Some(Place { rule, .. }) = places[pc] {
                let info = &p.rule_infos[rule];
                let result =
                    matches!(info.rule_type, RuleType::Complete) && dest == info.result_reg;
                // A rule has one value, however often its body holds.
                if result && in_loop(p, pc) && constant(p, pc, src).is_none() {
                    checks.push((Look::Same(dest, src), tables.same));
                }
            }
        }
        // A body whose loops all came to nothing does not hold, and an `else` is next.
        RuleReturn {} => {
            if let Some(Place { rule, .. }) = places[pc] {
                let info = &p.rule_infos[rule];
                if matches!(info.rule_type, RuleType::Complete) {
                    out.push((pc, defined(info.result_reg)));
                }
            }
        }
        // Nothing is no member of a set or of a comprehension.
        SetAdd { value, .. } => out.push((pc, defined(value))),
        ComprehensionYield { value_reg, .. } => out.push((pc, defined(value_reg))),
        Add { left, right, .. }
        | Sub { left, right, .. }
        | Mul { left, right, .. }
        | Div { left, right, .. }
        | Mod { left, right, .. } => {
            for register in [left, right] {
                if !is_number(p, places, pc, register) {
                    checks.push((Look::Kind(register), tables.numbers));
                }
            }
        }
        LoopStart { params_index } => {
            let params = &p.instruction_data.loop_params[usize::from(params_index)];
            let constant = constant(p, pc, params.collection);
            if !matches!(
                constant,
                Some(Value::Array(_) | Value::Object(_) | Value::Set(_))
            ) {
                checks.push((Look::Kind(params.collection), tables.collections));
            }
        }
        BuiltinCall { params_index } => {
            let params = &p.instruction_data.builtin_call_params[usize::from(params_index)];
            let called = &p.builtin_info_table[usize::from(params.builtin_index)];
            if called.name.starts_with("__builtin_sets.") {
                for register in params.arg_registers() {
                    checks.push((Look::Kind(*register), tables.sets));
                }
            }
        }
        _ => {}
    }
    Ok(checks)
}

fn in_loop(p: &Program, pc: usize) -> bool {
    p.instruction_data
        .loop_params
        .iter()
        .any(|l| (usize::from(l.body_start)..usize::from(l.loop_end)).contains(&pc))
}

/// The constant that the register was loaded with just before.
fn constant(p: &Program, pc: usize, register: u8) -> Option<Value> {
    use Instruction::*;
    match p.instructions[pc.checked_sub(1)?] {
        Load { dest, literal_idx } if dest == register => {
            Some(p.literals[usize::from(literal_idx)].clone())
        }
        LoadBool { dest, value } if dest == register => Some(Value::Bool(value)),
        _ => None,
    }
}

/// Whether the last instruction that wrote the register leaves a number there, or nothing.
fn is_number(p: &Program, places: &[Option<Place>], pc: usize, register: u8) -> bool {
    use Instruction::*;
    let Some(Place { body, .. }) = places[pc] else {
        return false;
    };
    let Some(last) = writer(p, body, pc, register) else {
        return false;
    };
    match p.instructions[last] {
        Load { literal_idx, .. } => {
            matches!(p.literals[usize::from(literal_idx)], Value::Number(_))
        }
        Add { .. } | Mul { .. } | Div { .. } | Mod { .. } => true,
        BuiltinCall { params_index } => {
            let params = &p.instruction_data.builtin_call_params[usize::from(params_index)];
            let called = &p.builtin_info_table[usize::from(params.builtin_index)];
            matches!(
                called.name.as_str(),
                "count" | "to_number" | "bits.and" | "bits.or" | "bits.negate"
            )
        }
        _ => false,
    }
}

/// The last instruction of a body before `pc` that may write the register.
pub fn writer(p: &Program, body: usize, pc: usize, register: u8) -> Option<usize> {
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

/// Puts instructions in. Whoever jumps to a position runs what was put before it: the machine goes to the instruction
/// before a jump's target, and for the end of a loop or a comprehension that has to stay the one that ends it.
///
/// Returns where they are.
pub fn splice(p: &mut Program, insertions: Insertions) -> Result<Vec<usize>, Unfit> {
    let count = p.instructions.len();
    let mut before: Vec<Vec<Instruction>> = vec![Vec::new(); count + 1];
    for (pc, instruction) in insertions {
        before[pc].push(instruction);
    }
    let mut moved = Vec::with_capacity(count + 1);
    let mut instructions = Vec::new();
    let mut spans = Vec::new();
    let mut places = Vec::new();
    for (pc, added) in before.iter().enumerate() {
        moved.push(instructions.len());
        places.extend(instructions.len()..instructions.len() + added.len());
        instructions.extend_from_slice(added);
        spans.extend(added.iter().map(|_| None));
        if pc < count {
            instructions.push(p.instructions[pc]);
            spans.push(p.instruction_spans.get(pc).cloned().flatten());
        }
    }
    if instructions.len() > Program::MAX_INSTRUCTIONS {
        return Err("too many instructions");
    }
    let short = |pc: &mut u16| *pc = moved[usize::from(*pc)] as u16;
    let long = |pc: &mut u32| *pc = moved[*pc as usize] as u32;
    for params in &mut p.instruction_data.loop_params {
        short(&mut params.body_start);
        short(&mut params.loop_end);
    }
    for params in &mut p.instruction_data.comprehension_begin_params {
        short(&mut params.body_start);
        short(&mut params.comprehension_end);
    }
    for pc in 0..count {
        let original = moved[pc] + before[pc].len();
        if let Instruction::LoopNext {
            body_start,
            loop_end,
        } = &mut instructions[original]
        {
            short(body_start);
            short(loop_end);
        }
    }
    for (_, entry) in &mut p.entry_points {
        *entry = moved[*entry];
    }
    long(&mut p.main_entry_point);
    for rule in &mut p.rule_infos {
        let mut definitions = (*rule.definitions).clone();
        definitions.iter_mut().flatten().for_each(long);
        rule.definitions = Rc::new(definitions);
        rule.destructuring_blocks
            .iter_mut()
            .flatten()
            .for_each(long);
    }
    p.instructions = instructions;
    p.instruction_spans = spans;
    Ok(places)
}
