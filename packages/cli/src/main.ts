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
// Pipes are written asynchronously; an end before that would cut the output off.
await Promise.all([stdout, stderr].map((stream) => new Promise((resolve) => stream.write("", resolve))));
process.exit(status);
