#!/usr/bin/env node
// Runs on any Node from 18 on: the command itself needs the pinned one, which `npm ci` has installed beside it.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const OLDEST_MAJOR = 24;
const main = join(dirname(fileURLToPath(import.meta.url)), "../bundle/main.js");

function pinnedNode() {
  try {
    const manifest = createRequire(import.meta.url).resolve(`node-linux-${process.arch}/package.json`);
    return join(dirname(manifest), "bin/node");
  } catch {
    return undefined;
  }
}

if (!existsSync(main)) {
  process.stderr.write("nacre: expected packages/cli/bundle, which is missing; run `make build`\n");
  process.exit(1);
} else if (Number(process.versions.node.split(".")[0]) >= OLDEST_MAJOR) {
  await import(main);
} else {
  const node = pinnedNode();
  if (node === undefined) {
    process.stderr.write(
      `nacre: expected Node ${OLDEST_MAJOR}, got ${process.version}; run \`npm ci --ignore-scripts\`\n`,
    );
    process.exit(1);
  }
  const child = spawn(node, [main, ...process.argv.slice(2)], { stdio: "inherit" });
  // A terminal sends its signals to both of us; the child decides what they mean.
  for (const signal of ["SIGINT", "SIGQUIT"]) process.on(signal, () => {});
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    process.stderr.write(`nacre: ${node} cannot be started: ${error.message}\n`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
}
