//! The native engine as Kata's agent uses it: regorus's interpreter with the same settings, for the bench alone.
//!
//! policy-peer POLICY DATA REQUESTS
//!
//! REQUESTS has a rule's name and its input on each line. A line on standard input names one of them by its number, or
//! is `load`; the answer is what it took in nanoseconds, and the result.

use std::fs::read_to_string;
use std::io::{stdin, stdout, BufRead, Write};
use std::time::Instant;

use regorus::{Engine, Value};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What the agent does when it is given a policy.
fn load(policy: &str, data: &str) -> Outcome<Engine> {
    let mut engine = Engine::new();
    engine.set_strict_builtin_errors(false);
    engine.set_gather_prints(true);
    engine.add_data(Value::from_json_str(data)?)?;
    engine.add_policy("agent_policy".to_string(), policy.to_string())?;
    decide(&mut engine, "AllowRequestsFailingPolicy", "{}")?;
    Ok(engine)
}

/// What the agent does for a request, but for the patch of the state.
fn decide(engine: &mut Engine, rule: &str, input: &str) -> Outcome<String> {
    engine.set_input_json(input)?;
    let results = engine.eval_query(format!("data.agent_policy.{rule}"), false)?;
    engine.take_prints()?;
    let value = results.result.first().and_then(|r| r.expressions.first());
    Ok(value.map_or_else(|| "undefined".to_string(), |e| e.value.to_string()))
}

fn main() -> Outcome<()> {
    let files: Vec<String> = std::env::args().skip(1).map(read_to_string).collect::<Result<_, _>>()?;
    let [policy, data, requests] = files.as_slice() else {
        return Err("expected a policy, data and requests".into());
    };
    let requests: Vec<(&str, &str)> = requests.lines().filter_map(|line| line.split_once(' ')).collect();
    let mut engine = load(policy, data)?;
    for line in stdin().lock().lines() {
        let line = line?;
        let start = Instant::now();
        let answer = if line == "load" {
            engine = load(policy, data)?;
            String::new()
        } else {
            let (rule, input) = requests.get(line.parse::<usize>()?).ok_or("no such request")?;
            decide(&mut engine, rule, input)?
        };
        writeln!(stdout(), "{} {answer}", start.elapsed().as_nanos())?;
        stdout().flush()?;
    }
    Ok(())
}
