//! A policy's text as the compiler takes it: without prints, and without what compiler and interpreter differ in.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::code::Unfit;

/// Builtins that a print may call: they need no more than their arguments, and cannot fail a rule.
const PRINTABLE: [&str; 6] = ["concat", "count", "lower", "replace", "sprintf", "upper"];

/// The interpreter's bound; a print of more is an error to it.
const MAX_ARGUMENTS: usize = 100;

/// Words that bind or branch, and so make more of a print than a print.
const WORDS: [&str; 10] = [
    "some", "every", "with", "not", "if", "else", "in", "contains", "default", "as",
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Word,
    Number,
    Text,
    /// One character of anything else.
    Mark(u8),
}

#[derive(Clone, Copy, Debug)]
struct Token {
    kind: Kind,
    start: usize,
    end: usize,
}

/// A policy's text, and the words and marks in it.
pub struct Source<'a> {
    rego: &'a str,
    tokens: Vec<Token>,
}

impl<'a> Source<'a> {
    pub fn new(rego: &'a str) -> Self {
        let tokens = tokens(rego.as_bytes());
        Self { rego, tokens }
    }

    /// The text with each print replaced by `true` and spaces, so that lines stay; a print that cannot be taken out
    /// stays, and the compiler refuses the rules that hold it. Err says why the whole policy is left to the interpreter.
    pub fn for_compiler(&self) -> Result<String, Unfit> {
        self.refuse_unsupported()?;
        let mut text = self.rego.to_owned();
        // From the end, so that what is replaced moves nothing that is still to come.
        for (span, replacement) in self.edits()?.into_iter().rev() {
            text.replace_range(span, &replacement);
        }
        Ok(text)
    }

    /// The operands of a statement as they are written: both sides of a comparison or membership, the arguments of a
    /// call, what is assigned, and else the statement itself.
    pub fn operands(&self) -> Vec<String> {
        let mut first = 0;
        if self.word(0) == "not" {
            first = 1;
        }
        let mut depth = 0usize;
        for at in first..self.tokens.len() {
            match self.tokens[at].kind {
                Kind::Mark(b'(' | b'[' | b'{') => depth += 1,
                Kind::Mark(b')' | b']' | b'}') => depth = depth.saturating_sub(1),
                _ if depth > 0 => {}
                Kind::Word if self.word(at) == "in" => {
                    return vec![self.text(first, at), self.text(at + 1, self.tokens.len())];
                }
                Kind::Mark(mark) if b":=!<>".contains(&mark) => {
                    let two = self.is(at + 1, b'=');
                    let right = self.text(at + 1 + usize::from(two), self.tokens.len());
                    // `:=` assigns, and what is left of it is only a name.
                    return match mark {
                        b':' => vec![right],
                        _ => vec![self.text(first, at), right],
                    };
                }
                _ => {}
            }
        }
        let open = (first..self.tokens.len()).find(|at| self.is(*at, b'('));
        match open {
            Some(open) if self.closing(open) == self.tokens.len().checked_sub(1) => {
                self.arguments(open)
            }
            _ => vec![self.text(first, self.tokens.len())],
        }
    }

    fn arguments(&self, open: usize) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut depth = 0usize;
        let mut from = open + 1;
        for at in open..self.tokens.len() {
            match self.tokens[at].kind {
                Kind::Mark(b'(' | b'[' | b'{') => depth += 1,
                Kind::Mark(b')' | b']' | b'}') => depth -= 1,
                Kind::Mark(b',') if depth == 1 => {
                    arguments.push(self.text(from, at));
                    from = at + 1;
                }
                _ => {}
            }
        }
        arguments.push(self.text(from, self.tokens.len() - 1));
        arguments
    }

    /// The text of some tokens.
    fn text(&self, from: usize, to: usize) -> String {
        match (
            self.tokens.get(from),
            to.checked_sub(1).and_then(|last| self.tokens.get(last)),
        ) {
            (Some(first), Some(last)) if from < to => self.rego[first.start..last.end].to_owned(),
            _ => String::new(),
        }
    }

    /// All words, among them the name of each rule that there is.
    pub fn words(&self) -> BTreeSet<String> {
        (0..self.tokens.len())
            .map(|at| self.word(at).to_owned())
            .collect()
    }
}

impl Source<'_> {
    fn word(&self, at: usize) -> &str {
        match self.tokens.get(at) {
            Some(t) if t.kind == Kind::Word => &self.rego[t.start..t.end],
            _ => "",
        }
    }

    fn is(&self, at: usize, mark: u8) -> bool {
        self.tokens.get(at).map(|t| t.kind) == Some(Kind::Mark(mark))
    }

    /// The position of the bracket that closes the one at `open`.
    fn closing(&self, open: usize) -> Option<usize> {
        let mut depth = 0usize;
        for (at, token) in self.tokens.iter().enumerate().skip(open) {
            match token.kind {
                Kind::Mark(b'(' | b'[' | b'{') => depth += 1,
                Kind::Mark(b')' | b']' | b'}') => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        return Some(at);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// The last token of the print that begins at `at`, if one does that says nothing but what its arguments are.
    fn print_end(&self, at: usize) -> Option<usize> {
        let called = self.word(at) == "print" && self.is(at + 1, b'(');
        if !called || (at > 0 && self.is(at - 1, b'.')) {
            return None;
        }
        let end = self.closing(at + 1)?;
        let commas = (at + 2..end).filter(|t| self.is(*t, b',')).count();
        let plain = commas < MAX_ARGUMENTS && (at + 2..end).all(|t| self.is_plain(t, end));
        plain.then_some(end)
    }

    /// Whether a token of a print's arguments neither binds, nor iterates, nor calls a rule of the policy.
    fn is_plain(&self, at: usize, end: usize) -> bool {
        match self.tokens[at].kind {
            Kind::Number | Kind::Text => true,
            Kind::Word => {
                let word = self.word(at);
                let calls = self.is(at + 1, b'(');
                word != "_" && !WORDS.contains(&word) && (!calls || PRINTABLE.contains(&word))
            }
            Kind::Mark(b'[') => {
                let array = !self.is_operand(at - 1);
                let literal = matches!(self.tokens[at + 1].kind, Kind::Number | Kind::Text)
                    && self.is(at + 2, b']');
                let computed = self.closing(at).is_some_and(|close| {
                    close < end && (at + 1..close).any(|t| self.is_operator(t))
                });
                array || literal || computed
            }
            Kind::Mark(mark) => b"().,]+-*/%".contains(&mark),
        }
    }

    /// Whether what ends at the token can be indexed.
    fn is_operand(&self, at: usize) -> bool {
        matches!(
            self.tokens[at].kind,
            Kind::Word | Kind::Text | Kind::Mark(b')' | b']')
        )
    }

    fn is_operator(&self, at: usize) -> bool {
        matches!(
            self.tokens[at].kind,
            Kind::Mark(b'+' | b'-' | b'*' | b'/' | b'%')
        )
    }

    fn refuse_unsupported(&self) -> Result<(), Unfit> {
        for at in 0..self.tokens.len() {
            if at > 0 && self.is(at - 1, b'.') {
                continue;
            }
            match self.word(at) {
                "import" if !self.is_language_import(at) => return Err("an import"),
                "default" if self.defaults_function(at) => return Err("a function's default"),
                "some" if !self.some_is_first(at) => return Err("a declaration within a query"),
                _ => {}
            }
            if self.nests_comprehensions(at) {
                return Err("a comprehension within the term of another");
            }
        }
        Ok(())
    }

    /// `import rego.v1`, `import future.keywords`, `import future.keywords.in`.
    fn is_language_import(&self, at: usize) -> bool {
        matches!(
            (self.word(at + 1), self.word(at + 3)),
            ("rego", "v1") | ("future", "keywords")
        )
    }

    fn defaults_function(&self, at: usize) -> bool {
        let mut next = at + 1;
        while self.is(next + 1, b'.') {
            next += 2;
        }
        self.is(next + 1, b'(')
    }

    /// A `some` that declares and does not iterate. The interpreter fails where a loop before it makes it run twice.
    fn some_is_first(&self, at: usize) -> bool {
        let mut next = at + 1;
        while self.is(next + 1, b',') {
            next += 2;
        }
        let iterates =
            self.is(at + 1, b'[') || self.is(at + 1, b'{') || self.word(next + 1) == "in";
        iterates || at == 0 || self.is(at - 1, b'{') || self.is(at - 1, b'|')
    }

    /// The interpreter does not schedule a comprehension in another's term, which is an error to it.
    fn nests_comprehensions(&self, open: usize) -> bool {
        let opens = self.is(open, b'[') || self.is(open, b'{');
        // After `if` there is a body, in which `|` is an operation.
        if !opens || (open > 0 && self.word(open - 1) == "if") {
            return false;
        }
        let mut depth = 0usize;
        let mut inner = false;
        for token in &self.tokens[open..] {
            match token.kind {
                Kind::Mark(b'(' | b'[' | b'{') => depth += 1,
                Kind::Mark(b')' | b']' | b'}') if depth == 1 => return false,
                Kind::Mark(b')' | b']' | b'}') => depth -= 1,
                Kind::Mark(b'|') if depth == 1 => return inner,
                Kind::Mark(b'|') => inner = true,
                // What follows is a body, and not a term.
                Kind::Mark(b';') if depth == 1 => return false,
                _ => {}
            }
        }
        false
    }

    /// What is put in the place of what, in order.
    fn edits(&self) -> Result<Vec<(Range<usize>, String)>, Unfit> {
        let mut edits = BTreeMap::new();
        for at in 0..self.tokens.len() {
            if let Some(end) = self.print_end(at) {
                let span = self.tokens[at].start..self.tokens[end].end;
                let rest = self.rego.as_bytes()[span.clone()].iter().skip(4);
                let rest = rest.map(|b| if *b == b'\n' { '\n' } else { ' ' });
                edits.insert(span.start, (span, "true".chars().chain(rest).collect()));
            }
            if self.word(at) == "every" && (at == 0 || !self.is(at - 1, b'.')) {
                for index in self.indexes_by_every(at)? {
                    let Token { start, end, .. } = self.tokens[index];
                    let same = format!("[{}][0]", &self.rego[start..end]);
                    edits.entry(start).or_insert((start..end, same));
                }
            }
        }
        // A print has no index to be replaced: it goes as a whole.
        let mut kept: Vec<(Range<usize>, String)> = Vec::new();
        for (span, replacement) in edits.into_values() {
            if kept.last().is_none_or(|(last, _)| last.end <= span.start) {
                kept.push((span, replacement));
            }
        }
        Ok(kept)
    }

    /// Where a variable of the `every` at `at` is an index. The compiler takes such a one for a new variable, over which
    /// it iterates; put as an expression of the same value it is none.
    fn indexes_by_every(&self, at: usize) -> Result<Vec<usize>, Unfit> {
        let mut names = vec![self.word(at + 1)];
        if self.is(at + 2, b',') {
            names.push(self.word(at + 3));
        }
        let body = self.every_body(at).ok_or("an every without a body")?;
        let named = |t: usize| names.contains(&self.word(t));
        let anew = |t: usize| {
            let declared = self.word(t - 1) == "some" || self.is(t - 1, b',');
            declared || (self.is(t + 1, b':') && self.is(t + 2, b'='))
        };
        if body
            .clone()
            .any(|t| named(t) && anew(t) && self.declares(t))
        {
            return Err("a variable of every that is declared again");
        }
        let index = |t: &usize| {
            named(*t) && self.is(t - 1, b'[') && self.is(t + 1, b']') && self.is_operand(t - 2)
        };
        let indices: Vec<usize> = body.clone().filter(index).collect();
        // The interpreter iterates there, in vain: what is negated fails where what is indexed is not there.
        if !indices.is_empty() && body.clone().any(|t| self.word(t) == "not") {
            return Err("a negation beside an index by a variable of every");
        }
        // And there it is an error to it where what is indexed is not there.
        if indices.iter().any(|t| self.is_in_term(*t, body.start)) {
            return Err("an index by a variable of every in a comprehension's term");
        }
        Ok(indices)
    }

    /// Whether the token is in the term of a comprehension that begins at or after `from`.
    fn is_in_term(&self, at: usize, from: usize) -> bool {
        (from..at).any(|open| {
            let opens = self.is(open, b'[') || self.is(open, b'{');
            opens
                && self.closing(open).is_some_and(|close| at < close)
                && self.bar(open).is_some_and(|bar| at < bar)
        })
    }

    /// The first `|` directly within the brackets at `open`.
    fn bar(&self, open: usize) -> Option<usize> {
        let mut depth = 0usize;
        for (at, token) in self.tokens.iter().enumerate().skip(open) {
            match token.kind {
                Kind::Mark(b'(' | b'[' | b'{') => depth += 1,
                Kind::Mark(b')' | b']' | b'}') if depth == 1 => return None,
                Kind::Mark(b')' | b']' | b'}') => depth -= 1,
                Kind::Mark(b'|') if depth == 1 => return Some(at),
                _ => {}
            }
        }
        None
    }

    /// Whether the name at the token is declared there: by `:=`, or in a list after `some`.
    fn declares(&self, at: usize) -> bool {
        if self.is(at + 1, b':') {
            return true;
        }
        let mut first = at;
        while self.is(first - 1, b',') {
            first -= 2;
        }
        self.word(first - 1) == "some"
    }

    /// The tokens between the braces of the `every` at `at`: the last braces before the statement ends, since its domain
    /// may have some, too.
    fn every_body(&self, at: usize) -> Option<Range<usize>> {
        let mut next = (at..self.tokens.len()).find(|t| self.word(*t) == "in")?;
        while next < self.tokens.len() {
            if self.is(next, b'{') {
                let close = self.closing(next)?;
                if self.ends_statement(close) {
                    return Some(next + 1..close);
                }
                next = close;
            }
            next += 1;
        }
        None
    }

    /// Whether nothing of a statement follows on a brace.
    fn ends_statement(&self, close: usize) -> bool {
        match self.tokens.get(close + 1) {
            None => true,
            Some(next) => {
                let between = &self.rego[self.tokens[close].end..next.start];
                between.contains('\n') || matches!(next.kind, Kind::Mark(b';' | b'}' | b']'))
            }
        }
    }
}

fn tokens(text: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let start = at;
        let kind = match text[at] {
            b'#' => {
                at = until(text, at, b'\n');
                continue;
            }
            c if c.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'"' => {
                at = string_end(text, at);
                Kind::Text
            }
            b'`' => {
                at = until(text, at + 1, b'`') + 1;
                Kind::Text
            }
            c if c.is_ascii_alphabetic() || c == b'_' => {
                at = while_word(text, at);
                Kind::Word
            }
            c if c.is_ascii_digit() => {
                at = while_word(text, at);
                Kind::Number
            }
            c => {
                at += 1;
                Kind::Mark(c)
            }
        };
        let end = at.min(text.len());
        tokens.push(Token { kind, start, end });
    }
    tokens
}

fn until(text: &[u8], from: usize, byte: u8) -> usize {
    let rest = text.get(from..).unwrap_or(&[]);
    rest.iter()
        .position(|b| *b == byte)
        .map_or(text.len(), |i| from + i)
}

fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < text.len() && text[at] != b'"' {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

fn while_word(text: &[u8], start: usize) -> usize {
    let rest = text[start..].iter();
    start
        + rest
            .take_while(|c| c.is_ascii_alphanumeric() || **c == b'_')
            .count()
}
