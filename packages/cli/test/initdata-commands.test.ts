import { EventEmitter } from "node:events";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";

import { decodeInitdataAnnotation, parseInitdata, readInitdataImage } from "@nacre/kbs-protocol";
import { afterAll, describe, expect, it } from "vitest";

import { COMMANDS } from "../src/commands/index.ts";
import { Interrupts } from "../src/interrupts.ts";
import { nacre } from "../src/nacre.ts";

const dir = mkdtempSync(join(tmpdir(), "nacre-initdata-"));
afterAll(() => rmSync(dir, { recursive: true }));

function file(name: string, content: string | Buffer): string {
  const path = join(dir, name);
  writeFileSync(path, content);
  return path;
}

interface Result {
  readonly status: number;
  readonly out: Buffer;
  readonly err: string;
}

async function run(argv: readonly string[], input: string | Buffer = ""): Promise<Result> {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  stdin.end(input);
  const streams = { stdin, stdout, stderr } as unknown as Pick<
    Parameters<typeof nacre>[2],
    "stdin" | "stdout" | "stderr"
  >;
  const interrupts = new Interrupts(new EventEmitter());
  const status = await nacre(COMMANDS, ["initdata", ...argv], { ...streams, env: {}, interrupts });
  const read = (stream: PassThrough): Buffer => (stream.read() as Buffer | null) ?? Buffer.alloc(0);
  return { status, out: read(stdout), err: read(stderr).toString() };
}

const POLICY = "package agent_policy\n\ndefault CreateContainerRequest := true\n";
const AA = '[token_configs.kbs]\nurl = "https://broker.test"\n';
const parts = (): string[] => ["--policy", file("p.rego", POLICY), "--aa", file("aa.toml", AA)];
const built = async (...more: readonly string[]): Promise<Buffer> => {
  const { status, out, err } = await run(["build", ...parts(), ...more]);
  expect([status, err]).toEqual([0, expect.stringMatching(/^sha(?:256|384) [0-9a-f]+\n$/u)]);
  return out;
};

describe("initdata build", () => {
  it("writes the document with what it was given, and says its digest", async () => {
    const { out, err } = await run(["build", ...parts(), "--file", `x=${file("x", "'''\u0001")}`]);
    const { algorithm, data } = parseInitdata(out);
    expect([algorithm, ...data]).toEqual(["sha256", ["policy.rego", POLICY], ["aa.toml", AA], ["x", "'''\u0001"]]);
    expect(err).toBe(`sha256 ${createHash("sha256").update(out).digest("hex")}\n`);
  });

  it("writes the same document in every form", async () => {
    const toml = await built();
    expect(await decodeInitdataAnnotation((await built("-f", "annotation")).toString().trim())).toEqual(toml);
    expect(await readInitdataImage(await built("-f", "image"))).toEqual(toml);
    const map = (
      await built("-f", "configmap", "--name", "pod-a", "--namespace", "team", "--key", "INITDATA")
    ).toString();
    const annotation = (await built("-f", "annotation")).toString().trim();
    expect(map).toBe(
      `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: "pod-a"\n  namespace: "team"\ndata:\n  "INITDATA": "${annotation}"\n`,
    );
  });

  it("writes into a file, and tells programs the rest", async () => {
    const output = join(dir, "out.img");
    const { out } = await run(["build", ...parts(), "--algorithm", "sha384", "-f", "image", "-o", output, "--json"]);
    const toml = await readInitdataImage(readFileSync(output));
    const digest = createHash("sha384").update(toml).digest("hex");
    expect(JSON.parse(out.toString())).toMatchObject({ format: "image", output, algorithm: "sha384", digest });
  });

  it.each([
    [[], "expected --policy, --aa, --cdh or --file"],
    [["--policy", "bad.rego"], "policy"],
    [["--cdh", "bad.toml"], "cdh.toml is not TOML"],
    [["--aa", "aa.toml", "--file", "aa.toml=aa.toml"], "aa.toml is given twice"],
    [["--aa", "none"], "a file cannot be read"],
    [["--aa", "aa.toml", "--file", "x"], "--file: expected NAME=FILE"],
    [["--aa", "aa.toml", "--algorithm", "sm3"], "--algorithm: expected sha256, sha384, sha512"],
    [["--aa", "aa.toml", "-f", "yaml"], "--format: expected toml, annotation, image, configmap"],
    [["--aa", "aa.toml", "-f", "configmap", "--name", "A_B"], "--name: expected a name as Kubernetes has them"],
    [["--aa", "aa.toml", "-f", "configmap", "--key", "a b"], "--key: expected a key"],
  ])("refuses %j", async (args, message) => {
    file("bad.rego", "package agent_policy\n}");
    file("bad.toml", "=");
    file("aa.toml", AA);
    const { status, err } = await run([
      "build",
      ...args.map((arg) =>
        /\.(?:rego|toml)$|^none$/u.test(arg) ? arg.replace(/[^=]+$/u, (name) => join(dir, name)) : arg,
      ),
    ]);
    expect(status).not.toBe(0);
    expect(err).toContain(message);
  });
});

describe("initdata inspect and digest", () => {
  it.each(["toml", "annotation", "image", "configmap"])("read a document as %s", async (form) => {
    const toml = await built();
    const path = file(`in.${form}`, await built("-f", form));
    const { status, out } = await run(["inspect", path, "--json"]);
    expect(status).toBe(0);
    const digest = createHash("sha256").update(toml).digest();
    expect(JSON.parse(out.toString())).toMatchObject({
      form,
      algorithm: "sha256",
      digest: digest.toString("hex"),
      files: [
        { name: "policy.rego", bytes: POLICY.length },
        { name: "aa.toml", bytes: AA.length },
      ],
      fields: { snp: digest.toString("hex"), tdx: `${digest.toString("hex")}${"00".repeat(16)}` },
      pcr8: createHash("sha256").update(Buffer.alloc(32)).update(digest).digest("hex"),
    });
    const asText = (await run(["inspect", "-"], readFileSync(path))).out.toString();
    expect(asText).toContain(`form       ${form}\n`);
    expect(asText).toContain(`SNP HOSTDATA    ${digest.toString("hex")}`);
    expect((await run(["inspect", path, "--show", "policy.rego"])).out.toString()).toBe(POLICY);
    expect((await run(["digest", path])).out.toString()).toBe(`${digest.toString("hex")}\n`);
    expect((await run(["digest", path, "--base64"])).out.toString()).toBe(`${digest.toString("base64")}\n`);
  });

  it("finds the annotation in a pod", async () => {
    const annotation = (await built("-f", "annotation")).toString().trim();
    const pod = `apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    io.katacontainers.config.hypervisor.cc_init_data: ${annotation}\n`;
    expect((await run(["digest", "-"], pod)).status).toBe(0);
    const other = (await built("-f", "annotation", "--algorithm", "sha384")).toString().trim();
    const { status, err } = await run(["digest", "-"], `${pod}    other: ${other}\n`);
    expect([status, err]).toEqual([1, expect.stringContaining("in the manifest, got 2") as string]);
  });

  it("give the digest as a platform's field has it, or say that it cannot", async () => {
    const path = file("sha384.toml", await built("--algorithm", "sha384"));
    const digest = createHash("sha384").update(readFileSync(path)).digest("hex");
    const field = async (name: string): Promise<string> =>
      (await run(["digest", path, "--field", name])).out.toString();
    expect(await field("snp")).toBe(`${digest.slice(0, 64)}\n`);
    expect(await field("tdx")).toBe(`${digest}\n`);
    expect(await field("cca")).toBe(`${digest}${"00".repeat(16)}\n`);
    expect((await run(["digest", path, "--field", "tpm"])).err).toContain("a TPM takes digests of 32 bytes (sha256)");
    expect((await run(["digest", path, "--field", "sgx"])).err).toContain("--field: expected snp, tdx, se, cca, tpm");
  });

  it.each([
    ["nothing", ""],
    ["no TOML", "nonsense ="],
    ["no gzip", Buffer.from("nonsense").toString("base64")],
    ["an image that is cut", Buffer.from("initdata\u0010\0\0\0\0\0\0\0", "latin1")],
    ["another version", 'version = "1"\nalgorithm = "sha256"\n[data]\n'],
  ])("refuse %s", async (_what, input) => {
    const { status, err } = await run(["inspect", "-"], input);
    expect([status, err]).toEqual([1, expect.stringContaining("no initdata that can be used: ") as string]);
  });
});
