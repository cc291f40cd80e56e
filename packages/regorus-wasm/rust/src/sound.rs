//! Rules whose programs would not say what the interpreter says: they are left to it.
//!
//! `code.rs` and `run.rs` do otherwise than regorus's machine where that departs from its interpreter, and refuse what
//! they do not know. This is the rest: what the compiler makes something else of than the interpreter does. `README.md`
//! lists what was found, and the fuzz test that found it.

use regorus::rvm::program::{Program, RuleType};
use regorus::rvm::Instruction;
use regorus::Value;

use crate::code::{places, Place, Unfit};

pub fn refuse_unsound(p: &Program) -> Result<(), Unfit> {
    for i in &p.instructions {
        match i {
            Instruction::VirtualDataDocumentLookup { .. } => {
                return Err("a reference to a package")
            }
            Instruction::HostAwait { .. } => return Err("a call of the host"),
            _ => {}
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
    refuse_comprehensions_in_heads(p)
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
