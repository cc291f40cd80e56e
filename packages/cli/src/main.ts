import { COMMANDS } from "./commands/index.ts";
import { Interrupts } from "./interrupts.ts";
import { nacre } from "./nacre.ts";

const { argv, env, stdin, stdout, stderr } = process;
// A reader that has gone (`nacre ps | head -1`) is no reason to fail.
for (const stream of [stdout, stderr]) stream.on("error", () => {});
const status = await nacre(COMMANDS, argv.slice(2), {
  env,
  stdin,
  stdout,
  stderr,
  interrupts: new Interrupts(process),
});
// Input that nobody reads any more would hold the event loop. Output is written by then: Linux does that at once.
process.exit(status);
