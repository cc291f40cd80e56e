//! From rules' text to the bytes of a program.

use std::collections::BTreeSet;
use std::sync::Arc;

use regorus::languages::rego::compiler;
use regorus::rvm::program::Program;
use regorus::{CompiledPolicy, Engine, Value};

use crate::code::Code;
use crate::explain::{explain, Question};
use crate::interpreter::new_engine;
use crate::sound::refuse_unsound;
use crate::source::Source;

/// A policy as the compiler takes it, or why it is left to the interpreter.
pub struct Compiler(Result<Ready, String>);

struct Ready {
    engine: Engine,
    /// Words of the policy: a rule whose name is none of them is undefined.
    words: BTreeSet<String>,
    /// The same for all rules; made with the first one.
    policy: Option<CompiledPolicy>,
}

impl Compiler {
    pub fn new(name: &str, rego: &str, rego_v0: bool) -> Self {
        Self(ready(name, rego, rego_v0))
    }

    /// One program with an entry point for each of the rules that are there; none where none is.
    pub fn compile(&mut self, rules: &[&str]) -> Result<Option<Vec<u8>>, String> {
        let ready = self.0.as_ref().map_err(|why| why.clone())?;
        let words = &ready.words;
        let defined = |rule: &&str| words.contains(rule.rsplit('.').next().unwrap_or(rule));
        let rules: Vec<&str> = rules.iter().copied().filter(defined).collect();
        if rules.is_empty() {
            return Ok(None);
        }
        let mut program = Program::clone(&*self.program(&rules)?);
        // What has no code is found out here, where each rule can be tried on its own.
        Code::new(&program)?;
        // Where an instruction comes from is asked of the interpreter's side.
        program.sources.clear();
        program.instruction_spans.clear();
        program.serialize_binary().map(Some)
    }

    /// Why the rule does not hold.
    pub fn explain(&mut self, question: Question) -> Result<Value, String> {
        explain(&*self.program(&[question.rule])?, question)
    }

    fn program(&mut self, rules: &[&str]) -> Result<Arc<Program>, String> {
        let ready = self.0.as_mut().map_err(|why| why.clone())?;
        let policy = match &mut ready.policy {
            Some(policy) => policy,
            None => ready.policy.insert(
                ready
                    .engine
                    .compile_with_entrypoint(&rules[0].into())
                    .map_err(|error| error.to_string())?,
            ),
        };
        let program = compiler::Compiler::compile_from_policy(policy, rules)
            .map_err(|error| error.to_string())?;
        refuse_unsound(&program)?;
        Ok(program)
    }
}

fn ready(name: &str, rego: &str, rego_v0: bool) -> Result<Ready, String> {
    let source = Source::new(rego);
    let mut engine = new_engine(rego_v0);
    engine
        .add_policy(name.into(), source.for_compiler()?)
        .map_err(|error| error.to_string())?;
    Ok(Ready {
        engine,
        words: source.words(),
        policy: None,
    })
}
