//! A compiled rule as the machine runs it: one operation for each instruction of regorus's program, at the same place,
//! with what the machine would otherwise have to find out at each run.
//!
//! Most of all where to go when a condition fails: to the end of the loop's turn or of the comprehension that it is in, or
//! to the end of the body. regorus's own machine looks for that on a stack, and takes a condition in a comprehension for
//! one of the loop around it.

use std::collections::BTreeMap;

use regorus::rvm::instructions::{
    ComprehensionMode, GuardMode, LiteralOrRegister, LoopMode, ObjectCreateParams,
};
use regorus::rvm::program::{Program, RuleType};
use regorus::rvm::Instruction;
use regorus::Value;

use crate::builtin::Builtin;

/// Why a rule is left to the interpreter.
pub type Unfit = &'static str;

/// Where to go from a condition outside of loops and comprehensions: its body does not hold.
pub const BODY: u16 = u16::MAX;

#[derive(Clone, Copy, Debug)]
pub enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
}

#[derive(Clone, Copy, Debug)]
pub enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// Numbers are registers of the rule, places in the tables of `Code`, and positions of operations. `fail` is where to go
/// when the condition fails.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    Load {
        dest: u8,
        literal: u16,
    },
    Bool {
        dest: u8,
        value: bool,
    },
    Null {
        dest: u8,
    },
    Data {
        dest: u8,
    },
    Input {
        dest: u8,
    },
    /// A condition, too: what is assigned nothing does not hold.
    Move {
        dest: u8,
        src: u8,
        fail: u16,
    },
    /// The value of a rule, which has one, however often its body holds.
    Result {
        dest: u8,
        src: u8,
        fail: u16,
    },
    Calculate {
        how: Arithmetic,
        dest: u8,
        left: u8,
        right: u8,
    },
    Compare {
        how: Comparison,
        dest: u8,
        left: u8,
        right: u8,
    },
    Not {
        dest: u8,
        operand: u8,
    },
    Guard {
        register: u8,
        mode: GuardMode,
        fail: u16,
    },
    Builtin {
        call: u16,
    },
    Function {
        call: u16,
    },
    Rule {
        dest: u8,
        rule: u16,
    },
    /// The end of an entry point.
    Return {
        value: u8,
    },
    /// The end of a body, or of what is done with a function's parameters.
    Done,
    /// The end of a body that has a value; a loop that came to nothing left none.
    Value {
        result: u8,
    },
    /// The end of a comprehension.
    Close,
    Nothing,
    Index {
        dest: u8,
        container: u8,
        key: u8,
    },
    Member {
        dest: u8,
        container: u8,
        literal: u16,
    },
    Path {
        path: u16,
    },
    Object {
        object: u16,
    },
    Array {
        list: u16,
    },
    Set {
        list: u16,
    },
    /// A condition: nothing is no member.
    SetAdd {
        set: u8,
        value: u8,
        fail: u16,
    },
    Contains {
        dest: u8,
        collection: u8,
        value: u8,
    },
    Count {
        dest: u8,
        collection: u8,
    },
    Loop {
        turns: u16,
    },
    Next {
        turns: u16,
    },
    NewArray {
        dest: u8,
    },
    NewSet {
        dest: u8,
    },
    /// A condition: nothing is no element.
    Yield {
        into: u8,
        value: u8,
        fail: u16,
    },
}

pub struct Loop {
    /// Whether each turn has to succeed; one of them, if not.
    pub every: bool,
    pub collection: u8,
    /// The same as `value` where nobody asks for it.
    pub key: u8,
    pub value: u8,
    pub result: u8,
    pub body: u16,
    pub end: u16,
}

pub struct BuiltinCall {
    pub dest: u8,
    pub builtin: Builtin,
    pub arguments: Vec<u8>,
}

pub struct FunctionCall {
    pub dest: u8,
    pub rule: u16,
    pub arguments: Vec<u8>,
}

pub struct Path {
    pub dest: u8,
    pub root: u8,
    pub steps: Vec<LiteralOrRegister>,
}

pub struct List {
    pub dest: u8,
    pub elements: Vec<u8>,
}

pub struct Body {
    pub entry: u16,
    /// Registers that hold the input and the data from the start: they are loaded where they are first used, which may be
    /// in a loop that has no turn, and used also behind it.
    pub inputs: Vec<u8>,
    pub data: Vec<u8>,
}

pub struct Definition {
    /// Where what is done with a function's parameters begins.
    pub parameters: Option<u16>,
    /// The body, and those after each `else`.
    pub bodies: Vec<Body>,
}

pub struct Rule {
    pub function: bool,
    /// A set that its definitions put members into.
    pub set: bool,
    pub definitions: Vec<Definition>,
    pub default: Option<Value>,
    pub result: u8,
    pub registers: usize,
}

pub struct Code {
    pub ops: Vec<Op>,
    pub literals: Vec<Value>,
    pub rules: Vec<Rule>,
    pub loops: Vec<Loop>,
    pub builtin_calls: Vec<BuiltinCall>,
    pub function_calls: Vec<FunctionCall>,
    pub paths: Vec<Path>,
    pub objects: Vec<ObjectCreateParams>,
    pub lists: Vec<List>,
    /// Where each rule that can be asked for begins.
    pub entries: BTreeMap<String, u16>,
    /// Registers of the entry points.
    pub registers: usize,
}

/// To which body an instruction belongs.
#[derive(Clone, Copy)]
pub struct Place {
    pub rule: usize,
    /// Position of the body's first instruction.
    pub body: usize,
}

/// To which body each instruction belongs; those of parameters and entry points belong to none.
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

/// A loop or comprehension that is open where the program is read.
enum Open {
    Loop(u16),
    Comprehension { result: u8 },
}

/// For each instruction where to go when it fails, and what it is in.
struct Nesting {
    fails: Vec<u16>,
    /// The loop that ends at a `LoopNext`.
    loops: BTreeMap<usize, u16>,
    /// The register of the comprehension that a yield is in.
    yields: BTreeMap<usize, u8>,
}

impl Code {
    pub fn new(p: &Program) -> Result<Self, Unfit> {
        if p.instructions.len() >= usize::from(BODY) {
            return Err("too many instructions");
        }
        let places = places(p);
        let nesting = Nesting::new(p)?;
        let mut code = Self {
            ops: Vec::with_capacity(p.instructions.len()),
            literals: p.literals.clone(),
            rules: Vec::new(),
            loops: Vec::new(),
            builtin_calls: Vec::new(),
            function_calls: Vec::new(),
            paths: Vec::new(),
            objects: p.instruction_data.object_create_params.clone(),
            lists: Vec::new(),
            entries: BTreeMap::new(),
            registers: usize::from(p.dispatch_window_size).max(2),
        };
        code.add_tables(p)?;
        for pc in 0..p.instructions.len() {
            let op = code.op(p, pc, &nesting, places[pc])?;
            code.ops.push(op);
        }
        code.add_rules(p)?;
        for (rule, entry) in &p.entry_points {
            code.entries.insert(rule.clone(), *entry as u16);
        }
        Ok(code)
    }

    fn add_tables(&mut self, p: &Program) -> Result<(), Unfit> {
        let tables = &p.instruction_data;
        for l in &tables.loop_params {
            self.loops.push(Loop {
                every: l.mode == LoopMode::Every,
                collection: l.collection,
                key: l.key_reg,
                value: l.value_reg,
                result: l.result_reg,
                body: l.body_start,
                end: l.loop_end,
            });
        }
        for c in &tables.builtin_call_params {
            let info = p.builtin_info_table.get(usize::from(c.builtin_index));
            let info = info.ok_or("a builtin that is not there")?;
            if usize::from(info.num_args) != c.arg_count() {
                return Err("a builtin with another number of arguments");
            }
            self.builtin_calls.push(BuiltinCall {
                dest: c.dest,
                builtin: Builtin::named(&info.name)?,
                arguments: c.arg_registers().to_vec(),
            });
        }
        for f in &tables.function_call_params {
            let called = p.rule_infos.get(usize::from(f.func_rule_index));
            let called = called.and_then(|rule| rule.function_info.as_ref());
            if called.map(|c| c.num_params) != Some(u32::from(f.num_args)) {
                return Err("a call with another number of arguments");
            }
            self.function_calls.push(FunctionCall {
                dest: f.dest,
                rule: f.func_rule_index,
                arguments: f.arg_registers().to_vec(),
            });
        }
        for c in &tables.chained_index_params {
            self.paths.push(Path {
                dest: c.dest,
                root: c.root,
                steps: c.path_components.clone(),
            });
        }
        Ok(())
    }

    fn list(&mut self, dest: u8, elements: &[u8]) -> u16 {
        self.lists.push(List {
            dest,
            elements: elements.to_vec(),
        });
        (self.lists.len() - 1) as u16
    }

    fn op(
        &mut self,
        p: &Program,
        pc: usize,
        nesting: &Nesting,
        place: Option<Place>,
    ) -> Result<Op, Unfit> {
        use Instruction::*;
        let fail = nesting.fails[pc];
        let tables = &p.instruction_data;
        let calculate = |how, dest, left, right| Op::Calculate {
            how,
            dest,
            left,
            right,
        };
        let compare = |how, dest, left, right| Op::Compare {
            how,
            dest,
            left,
            right,
        };
        Ok(match p.instructions[pc] {
            Load { dest, literal_idx } => Op::Load {
                dest,
                literal: literal_idx,
            },
            LoadTrue { dest } => Op::Bool { dest, value: true },
            LoadFalse { dest } => Op::Bool { dest, value: false },
            LoadBool { dest, value } => Op::Bool { dest, value },
            LoadNull { dest } => Op::Null { dest },
            LoadData { dest } => Op::Data { dest },
            LoadInput { dest } => Op::Input { dest },
            Move { dest, src } => {
                let info = place.map(|place| &p.rule_infos[place.rule]);
                let is_result = info.is_some_and(|info| {
                    matches!(info.rule_type, RuleType::Complete) && dest == info.result_reg
                });
                if is_result {
                    Op::Result { dest, src, fail }
                } else {
                    Op::Move { dest, src, fail }
                }
            }
            Add { dest, left, right } => calculate(Arithmetic::Add, dest, left, right),
            Sub { dest, left, right } => calculate(Arithmetic::Sub, dest, left, right),
            Mul { dest, left, right } => calculate(Arithmetic::Mul, dest, left, right),
            Div { dest, left, right } => calculate(Arithmetic::Div, dest, left, right),
            Mod { dest, left, right } => calculate(Arithmetic::Mod, dest, left, right),
            Eq { dest, left, right } => compare(Comparison::Eq, dest, left, right),
            Ne { dest, left, right } => compare(Comparison::Ne, dest, left, right),
            Lt { dest, left, right } => compare(Comparison::Lt, dest, left, right),
            Le { dest, left, right } => compare(Comparison::Le, dest, left, right),
            Gt { dest, left, right } => compare(Comparison::Gt, dest, left, right),
            Ge { dest, left, right } => compare(Comparison::Ge, dest, left, right),
            Not { dest, operand } => Op::Not { dest, operand },
            Guard { register, mode } => Op::Guard {
                register,
                mode,
                fail,
            },
            BuiltinCall { params_index } => Op::Builtin { call: params_index },
            FunctionCall { params_index } => Op::Function { call: params_index },
            CallRule { dest, rule_index } => Op::Rule {
                dest,
                rule: rule_index,
            },
            Return { value } => Op::Return { value },
            RuleInit { .. } => Op::Nothing,
            DestructuringSuccess {} => Op::Done,
            RuleReturn {} => {
                let info = &p.rule_infos[place.ok_or("an end outside of a body")?.rule];
                match info.rule_type {
                    RuleType::Complete => Op::Value {
                        result: info.result_reg,
                    },
                    _ => Op::Done,
                }
            }
            Index {
                dest,
                container,
                key,
            } => Op::Index {
                dest,
                container,
                key,
            },
            IndexLiteral {
                dest,
                container,
                literal_idx,
            } => Op::Member {
                dest,
                container,
                literal: literal_idx,
            },
            ChainedIndex { params_index } => Op::Path { path: params_index },
            ObjectCreate { params_index } => Op::Object {
                object: params_index,
            },
            ArrayCreate { params_index } => {
                let params = tables.get_array_create_params(params_index);
                let params = params.ok_or("an array that is not there")?;
                Op::Array {
                    list: self.list(params.dest, params.element_registers()),
                }
            }
            SetCreate { params_index } => {
                let params = tables.get_set_create_params(params_index);
                let params = params.ok_or("a set that is not there")?;
                Op::Set {
                    list: self.list(params.dest, params.element_registers()),
                }
            }
            SetAdd { set, value } => Op::SetAdd { set, value, fail },
            Contains {
                dest,
                collection,
                value,
            } => Op::Contains {
                dest,
                collection,
                value,
            },
            Count { dest, collection } => Op::Count { dest, collection },
            LoopStart { params_index } => Op::Loop {
                turns: params_index,
            },
            LoopNext { .. } => Op::Next {
                turns: *nesting.loops.get(&pc).ok_or("a loop without a start")?,
            },
            ComprehensionBegin { params_index } => {
                let params = tables.get_comprehension_begin_params(params_index);
                let params = params.ok_or("a comprehension that is not there")?;
                let dest = params.result_reg;
                match params.mode {
                    ComprehensionMode::Array => Op::NewArray { dest },
                    ComprehensionMode::Set => Op::NewSet { dest },
                    ComprehensionMode::Object => return Err("an object comprehension"),
                }
            }
            ComprehensionYield { value_reg, key_reg } => {
                if key_reg.is_some() {
                    return Err("an object comprehension");
                }
                Op::Yield {
                    into: *nesting.yields.get(&pc).ok_or("a yield to nobody")?,
                    value: value_reg,
                    fail,
                }
            }
            ComprehensionEnd {} => Op::Close,
            _ => return Err("an instruction that rules do not have"),
        })
    }

    fn add_rules(&mut self, p: &Program) -> Result<(), Unfit> {
        for info in &p.rule_infos {
            let set = match info.rule_type {
                RuleType::Complete => false,
                RuleType::PartialSet => true,
                RuleType::PartialObject => return Err("a partial object"),
            };
            let mut definitions = Vec::new();
            for (index, bodies) in info.definitions.iter().enumerate() {
                let parameters = info.destructuring_blocks.get(index).copied().flatten();
                let parameters = parameters.map(|entry| entry as u16);
                definitions.push(Definition {
                    // Most have nothing to be done.
                    parameters: parameters
                        .filter(|entry| !matches!(self.ops[usize::from(*entry)], Op::Done)),
                    bodies: bodies
                        .iter()
                        .map(|entry| self.body(*entry as u16))
                        .collect(),
                });
            }
            let default = info.default_literal_index;
            self.rules.push(Rule {
                function: info.function_info.is_some(),
                set,
                definitions,
                default: default.map(|literal| self.literals[usize::from(literal)].clone()),
                result: info.result_reg,
                registers: usize::from(info.num_registers),
            });
        }
        Ok(())
    }

    fn body(&self, entry: u16) -> Body {
        let mut body = Body {
            entry,
            inputs: Vec::new(),
            data: Vec::new(),
        };
        for op in &self.ops[usize::from(entry)..] {
            match *op {
                Op::Input { dest } => body.inputs.push(dest),
                Op::Data { dest } => body.data.push(dest),
                Op::Value { .. } | Op::Done => break,
                _ => {}
            }
        }
        body
    }
}

impl Nesting {
    fn new(p: &Program) -> Result<Self, Unfit> {
        let mut open: Vec<(usize, Open)> = Vec::new();
        let mut nesting = Self {
            fails: Vec::with_capacity(p.instructions.len()),
            loops: BTreeMap::new(),
            yields: BTreeMap::new(),
        };
        for (pc, instruction) in p.instructions.iter().enumerate() {
            let fail = open.last().map_or(BODY, |(end, _)| *end as u16);
            nesting.fails.push(fail);
            match *instruction {
                Instruction::LoopStart { params_index } => {
                    let params = p.instruction_data.get_loop_params(params_index);
                    let params = params.ok_or("a loop that is not there")?;
                    let next = usize::from(params.loop_end).checked_sub(1);
                    let next = next.ok_or("a loop without an end")?;
                    if usize::from(params.body_start) != pc + 1 || params.mode == LoopMode::Any {
                        return Err("a loop of another kind");
                    }
                    open.push((next, Open::Loop(params_index)));
                }
                Instruction::LoopNext { .. } => match open.pop() {
                    Some((end, Open::Loop(index))) if end == pc => {
                        nesting.loops.insert(pc, index);
                    }
                    _ => return Err("a loop that ends elsewhere"),
                },
                Instruction::ComprehensionBegin { params_index } => {
                    let params = p
                        .instruction_data
                        .get_comprehension_begin_params(params_index);
                    let params = params.ok_or("a comprehension that is not there")?;
                    let end = usize::from(params.comprehension_end).checked_sub(1);
                    let end = end.ok_or("a comprehension without an end")?;
                    let starts = usize::from(params.body_start) == pc + 1;
                    if !starts || params.collection_reg != params.result_reg {
                        return Err("a comprehension of another kind");
                    }
                    let result = params.result_reg;
                    open.push((end, Open::Comprehension { result }));
                }
                Instruction::ComprehensionYield { .. } => {
                    let inner = open.iter().rev().find_map(|(_, open)| match open {
                        Open::Comprehension { result } => Some(*result),
                        Open::Loop(_) => None,
                    });
                    nesting.yields.insert(pc, inner.ok_or("a yield to nobody")?);
                }
                Instruction::ComprehensionEnd {} => match open.pop() {
                    Some((end, Open::Comprehension { .. })) if end == pc => {}
                    _ => return Err("a comprehension that ends elsewhere"),
                },
                Instruction::RuleInit { .. } | Instruction::RuleReturn {} if !open.is_empty() => {
                    return Err("a loop that does not end");
                }
                _ => {}
            }
        }
        Ok(nesting)
    }
}
