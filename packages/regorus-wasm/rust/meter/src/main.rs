//! `meter IN OUT`: makes a WebAssembly module ask its host now and then whether it may go on.
//!
//! A loop's head and the entry of a function that may recurse count down, and at zero the import `host.pause` is
//! called, which returns or ends the call. Whatever runs long passes one of them, so no call can run away, whoever
//! wrote the code that it runs: there is no thread that would have to end it, and the host gets its turn in between.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use wasm_encoder::reencode::{utils, Error as ReencodeError, Reencode};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, Function, GlobalSection, GlobalType, Instruction, Module,
    ValType,
};
use wasmparser::{
    ElementItems, FunctionBody, GlobalSectionReader, Operator, Parser, Payload, TypeRef,
};

/// Passes between two calls of the host: a tenth of a millisecond or so.
const INTERVAL: i32 = 50_000;

/// What of a module decides where to count.
#[derive(Default)]
struct Shape {
    imported_functions: u32,
    globals: u32,
    pause: Option<u32>,
    /// Type of each function, imported ones first.
    types: Vec<u32>,
    /// Functions that a table holds: a call through it may reach any of them that has the type.
    in_tables: BTreeSet<u32>,
    /// Number of parameters, by function that is defined here.
    parameters: Vec<u32>,
    /// By function that is defined here: which functions it calls, and functions of which types through a table.
    calls: Vec<Calls>,
}

#[derive(Default)]
struct Calls {
    functions: BTreeSet<u32>,
    types: BTreeSet<u32>,
}

struct Meter {
    shape: Shape,
    recursive: BTreeSet<u32>,
    next_function: u32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let [input, output] = std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: meter IN OUT")?;
    let wasm = std::fs::read(input)?;
    let shape = shape(&wasm)?;
    let recursive = recursive(&shape);
    let next_function = shape.imported_functions;
    let mut meter = Meter {
        shape,
        recursive,
        next_function,
    };
    let mut module = Module::new();
    meter.parse_core_module(&mut module, Parser::new(0), &wasm)?;
    std::fs::write(output, module.finish())?;
    Ok(())
}

fn shape(wasm: &[u8]) -> Result<Shape, Box<dyn Error>> {
    let mut shape = Shape::default();
    let mut types = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::TypeSection(section) => {
                for function in section.into_iter_err_on_gc_types() {
                    types.push(function?.params().len() as u32);
                }
            }
            Payload::FunctionSection(section) => {
                for index in section {
                    let index = index?;
                    shape.types.push(index);
                    shape.parameters.push(types[index as usize]);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    match import.ty {
                        TypeRef::Func(index) => {
                            shape.types.push(index);
                            if (import.module, import.name) == ("host", "pause") {
                                shape.pause = Some(shape.imported_functions);
                            }
                            shape.imported_functions += 1;
                        }
                        TypeRef::Global(_) => shape.globals += 1,
                        _ => {}
                    }
                }
            }
            Payload::GlobalSection(section) => shape.globals += section.count(),
            Payload::ElementSection(section) => {
                for element in section {
                    match element?.items {
                        ElementItems::Functions(functions) => {
                            for function in functions {
                                shape.in_tables.insert(function?);
                            }
                        }
                        ElementItems::Expressions(..) => {
                            return Err("expressions in a table".into())
                        }
                    }
                }
            }
            Payload::CodeSectionEntry(body) => shape.calls.push(calls(&body)?),
            _ => {}
        }
    }
    Ok(shape)
}

fn calls(body: &FunctionBody) -> Result<Calls, Box<dyn Error>> {
    let mut calls = Calls::default();
    for operator in body.get_operators_reader()? {
        match operator? {
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                calls.functions.insert(function_index);
            }
            Operator::CallIndirect { type_index, .. }
            | Operator::ReturnCallIndirect { type_index, .. } => {
                calls.types.insert(type_index);
            }
            _ => {}
        }
    }
    Ok(calls)
}

/// Functions such that whatever is reached from itself is reached by way of one of them: those that call themselves, and
/// of each circle of others the one that most calls lead to and from, until no circle is left.
fn recursive(shape: &Shape) -> BTreeSet<u32> {
    let callees = |function: &u32| -> BTreeSet<u32> {
        match function.checked_sub(shape.imported_functions) {
            None => BTreeSet::new(),
            Some(defined) => {
                let Calls { functions, types } = &shape.calls[defined as usize];
                let in_tables = shape.in_tables.iter();
                let reached = in_tables.filter(|f| types.contains(&shape.types[**f as usize]));
                functions.iter().chain(reached).copied().collect()
            }
        }
    };
    let mut calls: BTreeMap<u32, BTreeSet<u32>> = (0..shape.types.len() as u32)
        .map(|f| (f, callees(&f)))
        .collect();
    let mut chosen: BTreeSet<u32> = calls
        .iter()
        .filter(|(f, called)| called.contains(f))
        .map(|(f, _)| *f)
        .collect();
    for f in &chosen {
        take_away(&mut calls, *f);
    }
    loop {
        prune(&mut calls);
        let mut callers: BTreeMap<u32, usize> = BTreeMap::new();
        for called in calls.values().flatten() {
            *callers.entry(*called).or_default() += 1;
        }
        let busiest = calls
            .iter()
            .map(|(f, called)| (called.len() * callers.get(f).copied().unwrap_or(0), *f))
            .max();
        let Some((_, busiest)) = busiest else {
            return chosen;
        };
        chosen.insert(busiest);
        take_away(&mut calls, busiest);
    }
}

fn take_away(calls: &mut BTreeMap<u32, BTreeSet<u32>>, function: u32) {
    calls.remove(&function);
    for called in calls.values_mut() {
        called.remove(&function);
    }
}

/// Takes away, until there are none, those that call nothing of what remains, and those that nothing of it calls: what is
/// left lies on a circle, or between two of them.
fn prune(calls: &mut BTreeMap<u32, BTreeSet<u32>>) {
    loop {
        let called: BTreeSet<u32> = calls.values().flatten().copied().collect();
        let before = calls.len();
        calls.retain(|f, callees| !callees.is_empty() && called.contains(f));
        if calls.len() == before {
            return;
        }
        let left: BTreeSet<u32> = calls.keys().copied().collect();
        for callees in calls.values_mut() {
            callees.retain(|f| left.contains(f));
        }
    }
}

impl Meter {
    fn count(&self, function: &mut Function, left: u32) {
        let fuel = self.shape.globals;
        let pause = self.shape.pause.expect("the import is looked for before");
        for instruction in [
            Instruction::GlobalGet(fuel),
            Instruction::I32Const(1),
            Instruction::I32Sub,
            Instruction::LocalTee(left),
            Instruction::GlobalSet(fuel),
            Instruction::LocalGet(left),
            Instruction::I32Eqz,
            Instruction::If(BlockType::Empty),
            Instruction::I32Const(INTERVAL),
            Instruction::GlobalSet(fuel),
            Instruction::Call(pause),
            Instruction::End,
        ] {
            function.instruction(&instruction);
        }
    }
}

impl Reencode for Meter {
    type Error = std::io::Error;

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: GlobalSectionReader<'_>,
    ) -> Result<(), ReencodeError<Self::Error>> {
        utils::parse_global_section(self, globals, section)?;
        let fuel = GlobalType {
            val_type: ValType::I32,
            mutable: true,
            shared: false,
        };
        globals.global(fuel, &ConstExpr::i32_const(INTERVAL));
        Ok(())
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), ReencodeError<Self::Error>> {
        if self.shape.pause.is_none() {
            return Err(ReencodeError::UserError(std::io::Error::other(
                "no import host.pause",
            )));
        }
        let index = self.next_function;
        self.next_function += 1;
        let parameters = self.shape.parameters[(index - self.shape.imported_functions) as usize];
        let mut locals = Vec::new();
        let mut left = parameters;
        for local in body.get_locals_reader()? {
            let (count, kind) = local?;
            left += count;
            locals.push((count, self.val_type(kind)?));
        }
        locals.push((1, ValType::I32));
        let mut function = Function::new(locals);
        if self.recursive.contains(&index) {
            self.count(&mut function, left);
        }
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            let operator = reader.read()?;
            let head = matches!(operator, Operator::Loop { .. });
            function.instruction(&self.instruction(operator)?);
            if head {
                self.count(&mut function, left);
            }
        }
        code.function(&function);
        Ok(())
    }
}
