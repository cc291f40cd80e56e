//! `regex.match` for the machine: the same function, with patterns that stay compiled.
//!
//! regorus keeps compiled patterns, but takes a copy of one for each match, and a copy begins without what the matcher has
//! learnt (its lazily built automaton): building that anew is half of the time of a generated policy's decision.

use core::cell::RefCell;
use std::collections::HashMap;

use regex::{Regex, RegexBuilder};
use regorus::rvm::program::Program;
use regorus::unstable::{Expr, Ref, Span, BUILTINS};
use regorus::Value;

const NAME: &str = "regex.match";
/// regorus's bound of a compiled pattern: beyond it, its own function has the error.
const SIZE_LIMIT: usize = 100 * 1024;
/// Bytes that one pattern's automaton may take, after which it is begun anew. The default is eight times that.
const LEARNT_LIMIT: usize = 256 * 1024;
/// Patterns that are kept. Generated policies put ids of containers into theirs, so they grow in number.
const KEPT: usize = 256;

thread_local! {
    static PATTERNS: RefCell<HashMap<String, Regex>> = RefCell::new(HashMap::new());
}

/// Puts the function in place of regorus's own.
pub fn keep_patterns(program: &mut Program) {
    let names = program
        .builtin_info_table
        .iter()
        .map(|info| info.name.as_str());
    for (name, resolved) in names.zip(program.resolved_builtins.iter_mut()) {
        if name == NAME {
            resolved.0 = regex_match;
        }
    }
}

fn regex_match(
    span: &Span,
    params: &[Ref<Expr>],
    args: &[Value],
    strict: bool,
) -> anyhow::Result<Value> {
    if let [Value::String(pattern), Value::String(text)] = args {
        if let Some(found) = matches(pattern, text) {
            return Ok(Value::Bool(found));
        }
    }
    // Whatever is an error, regorus's own says it.
    let (own, _) = BUILTINS
        .get(NAME)
        .ok_or_else(|| anyhow::anyhow!("no {NAME}"))?;
    own(span, params, args, strict)
}

/// Nothing for what is no pattern.
fn matches(pattern: &str, text: &str) -> Option<bool> {
    PATTERNS.with(|patterns| {
        let mut patterns = patterns.borrow_mut();
        if let Some(known) = patterns.get(pattern) {
            return Some(known.is_match(text));
        }
        let made = RegexBuilder::new(pattern)
            .size_limit(SIZE_LIMIT)
            .dfa_size_limit(LEARNT_LIMIT)
            .build()
            .ok()?;
        let found = made.is_match(text);
        if patterns.len() >= KEPT {
            patterns.clear();
        }
        patterns.insert(pattern.to_string(), made);
        Some(found)
    })
}
