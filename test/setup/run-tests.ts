import { spawnSync } from "node:child_process";

/**
 * Runs every test under vitest. The last line of output is `N passed, N failed`; the exit status says the same.
 * Arguments are passed to vitest, so `node test/setup/run-tests.ts --project unit` runs one half.
 */
const result = spawnSync(
  process.execPath,
  [
    "node_modules/vitest/vitest.mjs",
    "run",
    "--reporter=default",
    "--reporter=./test/setup/count-reporter.ts",
    ...process.argv.slice(2),
  ],
  { stdio: "inherit" },
);
process.exitCode = result.status ?? 1;
