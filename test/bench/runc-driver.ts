import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Runs inside the agent's namespaces and times plain runc there: `node runc-driver.ts DIR ROUNDS`, with the bundle's
 * config.json on standard input. Prints {createStart: ms[], whole: ms[]}: `runc create` + `runc start`, and `runc run`.
 */
const [dir = "", rounds = "10"] = process.argv.slice(2);
const RUNC = "/usr/sbin/runc";
const chunks: Buffer[] = [];
for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
mkdirSync(dir, { recursive: true });
writeFileSync(join(dir, "config.json"), Buffer.concat(chunks));
const root = join(dir, "state");

function runc(...args: string[]): void {
  // Files, not pipes: the container keeps its standard streams, and a pipe would be waited for.
  const { status, signal } = spawnSync(RUNC, ["--root", root, ...args], { stdio: "ignore" });
  if (status !== 0) throw new Error(`runc ${args.join(" ")}: ${status ?? signal}`);
}

const createStart: number[] = [];
const whole: number[] = [];
for (let round = 0; round < Number(rounds); round += 1) {
  const id = `plain-${process.pid}-${round}`;
  const begin = performance.now();
  runc("create", "--bundle", dir, id);
  runc("start", id);
  createStart.push(performance.now() - begin);
  runc("delete", "--force", id);
  const again = performance.now();
  runc("run", "--bundle", dir, `${id}-run`);
  whole.push(performance.now() - again);
}
rmSync(dir, { recursive: true, force: true });
process.stdout.write(`${JSON.stringify({ createStart, whole })}\n`);
