//! Builtins for the machine: regorus's own functions, some of which have a shorter way for arguments of the right kinds.

use core::cell::RefCell;
use std::collections::HashMap;

use regex::{Regex, RegexBuilder};
use regorus::unstable::{BuiltinFcn, Expr, Ref, Source, Span, BUILTINS};
use regorus::{LimitError, Value};

use crate::code::Unfit;
use crate::run::Stop;

/// Those whose value is another one each time. regorus keeps it during an evaluation.
const CHANGING: [&str; 4] = ["opa.runtime", "rand.intn", "time.now_ns", "uuid.rfc4122"];
/// regorus's bound of a compiled pattern: beyond it, its own function has the error.
const SIZE_LIMIT: usize = 100 * 1024;
/// Bytes that one pattern's automaton may take, after which it is begun anew. The default is eight times that.
const LEARNT_LIMIT: usize = 256 * 1024;
/// Patterns that are kept. Generated policies put ids of containers into theirs, so they grow in number.
const KEPT: usize = 256;

/// Bytes of a part that is looked for at each place of a text.
const SHORT_PART: usize = 16;

/// Says what regorus's own function says, or nothing where that has to be asked.
type Short = fn(&[&Value]) -> Option<Value>;

pub struct Builtin {
    own: BuiltinFcn,
    short: Option<Short>,
    /// An operation of sets, which is an error for anything else.
    of_sets: bool,
}

impl Builtin {
    pub fn named(name: &str) -> Result<Self, Unfit> {
        if CHANGING.contains(&name) {
            return Err("a builtin whose value changes");
        }
        Ok(Self {
            own: *BUILTINS.get(name).ok_or("an unknown builtin")?,
            short: short(name),
            of_sets: name.starts_with("__builtin_sets."),
        })
    }

    /// What is an error to it is no value, as regorus is told to take it.
    pub fn call(&self, arguments: &[&Value], places: &mut Places) -> Result<Value, Stop> {
        if self.of_sets {
            let others = |value: &&&Value| !matches!(value, Value::Set(_) | Value::Undefined);
            if arguments.iter().any(|value| others(&value)) {
                return Err(Stop::Unknown);
            }
        }
        if arguments.iter().any(|v| matches!(v, Value::Undefined)) {
            return Ok(Value::Undefined);
        }
        if let Some(value) = self.short.and_then(|short| short(arguments)) {
            return Ok(value);
        }
        places.arguments.clear();
        places
            .arguments
            .extend(arguments.iter().map(|v| (*v).clone()));
        let exprs = &places.exprs[..arguments.len()];
        let value = (self.own.0)(&places.span, exprs, &places.arguments, false);
        places.arguments.clear();
        match value {
            Ok(value) => Ok(value),
            Err(error) if error.is::<LimitError>() => Err(Stop::Unknown),
            Err(_) => Ok(Value::Undefined),
        }
    }
}

/// What regorus's functions are told about where their arguments stand, and room for these.
pub struct Places {
    span: Span,
    exprs: Vec<Ref<Expr>>,
    arguments: Vec<Value>,
}

impl Places {
    pub fn new() -> Self {
        let source = Source::from_contents(String::new(), String::new());
        let span = Span {
            source: source.expect("an empty text is within every limit"),
            line: 1,
            col: 1,
            start: 0,
            end: 0,
        };
        let expr = || {
            Ref::new(Expr::Null {
                span: span.clone(),
                value: Value::Null,
                eidx: 0,
            })
        };
        Self {
            exprs: (0..8).map(|_| expr()).collect(),
            arguments: Vec::new(),
            span,
        }
    }
}

fn short(name: &str) -> Option<Short> {
    use Value::{Array, Bool, Null, Object, Set, String};
    Some(match name {
        "regex.match" => |arguments| match arguments {
            [String(pattern), String(text)] => matches(pattern, text).map(Bool),
            _ => None,
        },
        "startswith" => |arguments| match arguments {
            [String(text), String(part)] => Some(Bool(text.starts_with(&**part))),
            _ => None,
        },
        "endswith" => |arguments| match arguments {
            [String(text), String(part)] => Some(Bool(text.ends_with(&**part))),
            _ => None,
        },
        "contains" => |arguments| match arguments {
            [String(text), String(part)] => Some(Bool(has(text, part))),
            _ => None,
        },
        // Where there is nothing to replace, it is the same text.
        "replace" => |arguments| match arguments {
            [text @ String(whole), String(old), String(_)] if !has(whole, old) => {
                Some((*text).clone())
            }
            _ => None,
        },
        "is_null" => |arguments| match arguments {
            [value] => Some(Bool(matches!(value, Null))),
            _ => None,
        },
        "count" => |arguments| match arguments {
            [Array(elements)] => Some(Value::from(elements.len())),
            [Set(members)] => Some(Value::from(members.len())),
            [Object(fields)] => Some(Value::from(fields.len())),
            _ => None,
        },
        _ => return None,
    })
}

/// Whether a part is in a text. What is prepared for a search takes longer than the search for a short one.
fn has(text: &str, part: &str) -> bool {
    let (text_bytes, part_bytes) = (text.as_bytes(), part.as_bytes());
    match part_bytes.len() {
        0 => true,
        length @ 1..=SHORT_PART => text_bytes
            .windows(length)
            .any(|window| window == part_bytes),
        _ => text.contains(part),
    }
}

thread_local! {
    static PATTERNS: RefCell<HashMap<Box<str>, Regex>> = RefCell::new(HashMap::new());
}

/// Patterns stay compiled. regorus's cache hands out copies, and a copy begins without what the matcher has learnt (its
/// lazily built automaton): building that anew is half of the time of a generated policy's decision. Nothing for what is
/// no pattern.
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
        patterns.insert(pattern.into(), made);
        Some(found)
    })
}
