//! Takes out of a program what the machine copies for each call of a rule and never looks at.

use regorus::rvm::program::Program;

/// Names of rules and of their parameters; entry points have theirs elsewhere. A list of destructuring blocks that are
/// all absent is as good as an empty one.
pub fn lighten(program: &mut Program) {
    for rule in &mut program.rule_infos {
        rule.name = String::new();
        if let Some(function) = &mut rule.function_info {
            function.param_names = Vec::new();
        }
        if rule.destructuring_blocks.iter().all(Option::is_none) {
            rule.destructuring_blocks = Vec::new();
        }
    }
}
