import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

import { afterAll, beforeAll, expect, it } from "vitest";

/** The command against the daemon that guests run. */
const run = promisify(execFile);
const repository = resolve(import.meta.dirname, "../..");
const home = mkdtempSync(join(tmpdir(), "nacre-attest-"));
const socket = `unix://${join(home, "agent.sock")}`;
let agent: ChildProcess;

beforeAll(async () => {
  const main = join(repository, "packages/attestation-agent/src/main.ts");
  agent = spawn(process.execPath, ["--conditions=source", main, "--attestation_sock", socket], {
    env: { PATH: "/usr/bin" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  await new Promise<void>((done, fail) => {
    agent.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (said.includes("listening on")) done();
    });
    agent.once("close", () => fail(new Error(said)));
  });
});
afterAll(async () => {
  agent.kill("SIGTERM");
  await once(agent, "close");
  rmSync(home, { recursive: true });
});

async function attest(...args: readonly string[]): Promise<{ readonly status: number; readonly out: string }> {
  const main = join(repository, "packages/cli/src/main.ts");
  const command = [process.execPath, "--conditions=source", main, "attest", "--agent", socket, ...args] as const;
  const [file, ...rest] = command;
  return await run(file, rest).then(
    ({ stdout }) => ({ status: 0, out: stdout }),
    (error: unknown) => {
      const { code, stdout, stderr } = error as {
        readonly code: number;
        readonly stdout: string;
        readonly stderr: string;
      };
      if (stdout === "") throw new Error(stderr, { cause: error });
      return { status: code, out: stdout };
    },
  );
}

it("shows what an agent without hardware has proven, and that it is nothing", async () => {
  const values = { launch_digest: ["abcde"], svn: ["1"] };
  const payload = Buffer.from(JSON.stringify(values)).toString("base64");
  const references = join(home, "values.json");
  writeFileSync(references, JSON.stringify({ version: "0.1.0", type: "sample", payload }));
  const page = join(home, "page.html");
  const { status, out } = await attest("--reference-values", references, "--html", page);
  expect(status).toBe(1);
  expect(out).toContain("evidence: sample");
  expect(out).toContain("! Sample evidence");
  expect(out).toContain("! Unbound");
  expect(out).toContain("+ The evidence was made just now");
  expect(out).toMatch(/launch_digest +\["abcde"\] +abcde +agrees/u);
  expect(readFileSync(page, "utf8")).toContain("Sample evidence");
  const { out: json } = await attest("--json");
  expect(JSON.parse(json)).toMatchObject({ proven: false, devices: [{ name: "cpu0", status: "contraindicated" }] });
});
