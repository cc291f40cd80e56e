import type { Reporter, TestModule, TestRunEndReason } from "vitest/node";

/** Counts what really ran, and makes a skipped test a failure: a skip hides what this machine should have run. */
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>, unhandled: ReadonlyArray<unknown>, reason: TestRunEndReason): void {
    let passed = 0;
    let failed = unhandled.length;
    for (const module of modules) {
      let cases = 0;
      for (const test of module.children.allTests()) {
        cases += 1;
        const state = test.result().state;
        if (state === "passed") passed += 1;
        else {
          failed += 1;
          if (state !== "failed") process.stdout.write(`not run: ${module.moduleId} > ${test.fullName} (${state})\n`);
        }
      }
      // A module that fails to load has no cases; it still counts.
      if (cases === 0 || (module.state() === "failed" && module.errors().length > 0)) failed += 1;
    }
    if (reason === "interrupted") failed += 1;
    process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
    if (failed > 0) process.exitCode = 1;
  }
}
