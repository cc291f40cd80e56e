import { generateKeyPairSync, sign } from "node:crypto";
import { EventEmitter } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";

import { afterAll, describe, expect, it } from "vitest";

import { proofOfToken } from "../../src/attest/from-token.ts";
import { judge } from "../../src/attest/judge.ts";
import { attestPage } from "../../src/attest/page.ts";
import { devicesOf, isProven, type Proof } from "../../src/attest/proof.ts";
import { showProof } from "../../src/attest/show.ts";
import { COMMANDS } from "../../src/commands/index.ts";
import { Interrupts } from "../../src/interrupts.ts";
import { nacre } from "../../src/nacre.ts";

const home = mkdtempSync(join(tmpdir(), "nacre-attest-"));
afterAll(() => rmSync(home, { recursive: true }));

const message = (values: unknown): string =>
  JSON.stringify({ version: "0.1.0", type: "sample", payload: Buffer.from(JSON.stringify(values)).toString("base64") });
const nonce = Buffer.alloc(48, 7);
const evidence = { svn: "1", report_data: nonce.toString("base64") };
const sample = {
  subject: "guest g",
  requests: [{ tee: "sample", evidence, runtimeData: nonce }],
  fresh: true,
} as const;

/** A token whose claims the test chooses, by a key in its own header. */
function token(submods: unknown, more: object = {}): string {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const jwk = { ...publicKey.export({ format: "jwk" }), alg: "ES256" };
  const now = Math.floor(Date.now() / 1000);
  const text = [
    { alg: "ES256", typ: "JWT", jwk },
    { iss: "someone", iat: now, exp: now + 300, submods, ...more },
  ]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  return `${text}.${sign("sha256", Buffer.from(text), { key: privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

const submodule = (evidenceClaims: unknown, status = "affirming"): unknown => ({
  cpu0: {
    "ear.status": status,
    "ear.appraisal-policy-id": "default",
    "ear.trustworthiness-vector": { executables: 3, hardware: 97 },
    "ear.veraison.annotated-evidence": evidenceClaims,
  },
});

describe("evidence of a sample", () => {
  it("proves nothing, and is said to", async () => {
    const proof = await judge({ ...sample, references: [] });
    expect(isProven(proof)).toBe(false);
    const text = showProof(proof);
    expect(text).toContain("! Sample evidence: any program can make it.");
    expect(text).toContain("! Unbound: no initdata");
    expect(text).toContain("+ The evidence was made just now");
    expect(text).toContain("cpu0: contraindicated (policy default)");
    expect(text).toMatch(/hardware +97 +contraindicated/u);
    expect(text).toMatch(/sample\.launch_digest +abcde/u);
    expect(text).toMatch(/launch_digest +none registered +abcde/u);
    expect(text).toContain("measured event log: none");
  });

  it("shows which reference values were expected and found", async () => {
    const proof = await judge({ ...sample, references: [message({ launch_digest: ["other"], svn: ["1"] })] });
    const rows = Object.fromEntries(proof.devices[0]?.references.map((row) => [row.name, row]) ?? []);
    expect(rows["launch_digest"]).toMatchObject({ expected: '["other"]', found: "abcde", agrees: false });
    expect(rows["svn"]).toMatchObject({ expected: '["1"]', found: "1", agrees: true });
    expect(showProof(proof)).toMatch(/launch_digest +\["other"\] +abcde +DIFFERS/u);
  });

  it("is refused when it holds another number, or initdata that is none", async () => {
    const other = [{ ...sample.requests[0], runtimeData: Buffer.alloc(48) }];
    await expect(judge({ ...sample, requests: other, references: [] })).rejects.toMatchObject({ code: "refused" });
    const initData = [{ ...sample.requests[0], initData: "no initdata" }];
    await expect(judge({ ...sample, requests: initData, references: [] })).rejects.toMatchObject({ code: "refused" });
    await expect(judge({ ...sample, references: ["{}"] })).rejects.toMatchObject({ code: "input" });
  });
});

describe("a token", () => {
  const claims = { snp: { measurement: "aa", platform_smt_enabled: true }, init_data: "cd".repeat(32) };
  const nobody = { certificates: [], jwks: [] };

  it("of an unnamed signer proves nothing, whatever it says", async () => {
    const proof = await proofOfToken("a file", token(submodule(claims)), nobody, [message({ snp_measurement: "aa" })]);
    expect(proof.devices[0]).toMatchObject({
      name: "cpu0",
      status: "affirming",
      vector: [
        { claim: "executables", value: 3, tier: "affirming" },
        { claim: "hardware", value: 97, tier: "contraindicated" },
      ],
      references: [{ name: "snp_measurement", expected: "aa", found: "aa", agrees: true }],
    });
    expect(proof.remarks.map(({ tone }) => tone)).toEqual(["bad", "good"]);
    expect(isProven(proof)).toBe(false);
    expect(isProven({ ...proof, remarks: [] })).toBe(true);
  });

  it("is taken as an agent gives it, and refused when it was changed", async () => {
    const good = token(submodule(claims));
    await proofOfToken("a file", JSON.stringify({ token: good, tee_keypair: "x" }), nobody, []);
    const [head = "", body = "", signature = ""] = good.split(".");
    const changed = `${head}.${body.slice(0, -2)}AA.${signature}`;
    await expect(proofOfToken("a file", changed, nobody, [])).rejects.toMatchObject({ code: "refused" });
    await expect(proofOfToken("a file", "{}", nobody, [])).rejects.toMatchObject({ code: "input" });
  });

  it("of any claims at all is shown", async () => {
    const odd = { toString: 1, valueOf: 1 };
    const events = [{ index: odd, type_name: odd, digests: [{ alg: odd, digest: odd }] }];
    const submods = submodule({ snp: { measurement: [], uefi_event_logs: events } });
    const text = token(submods, { iss: odd, iat: 1e300, exp: 1e300 });
    const proof = await proofOfToken("a file", text, nobody, [message({ minimum_measurement: 1 })]);
    expect(proof.facts).toEqual([
      ["issuer", '{"toString":1,"valueOf":1}'],
      ["issued", "unknown"],
      ["valid until", "unknown"],
    ]);
    expect(attestPage(proof)).toContain(`<th scope="row">NaN</th>`);
    expect(showProof(proof)).toContain("NaN");
  });

  it("shows the measured event log", () => {
    const events = [
      { index: 1, type_name: "EV_SEPARATOR", digests: [{ alg: "SHA-384", digest: "00ff" }], details: { string: "x" } },
    ];
    const [device] = devicesOf(
      { submods: submodule({ tdx: { uefi_event_logs: events, quote: { a: 1 } } }) },
      new Map(),
    );
    expect(device?.events).toEqual([
      { register: 1, type: "EV_SEPARATOR", digest: "SHA-384 00ff", text: '{"string":"x"}' },
    ]);
    expect(device?.claims).toEqual([["tdx.quote.a", "1"]]);
  });
});

describe("the page", () => {
  it("shows what a guest has named as text, and fetches nothing", () => {
    const hostile = '</td><script>alert(1)</script><img src="//x">\u001b[31m\u202e';
    const proof: Proof = {
      subject: hostile,
      facts: [[hostile, hostile]],
      remarks: [{ tone: "bad", text: hostile }],
      devices: devicesOf(
        { submods: { [hostile]: (submodule({ [hostile]: hostile }, hostile) as { cpu0: never }).cpu0 } },
        new Map(),
      ),
    };
    const page = attestPage(proof);
    expect(page).not.toMatch(/<script|<img|<link|@import|url\(|\u001b|\u202e/u);
    expect(page).toContain("default-src 'none'");
    expect(page).toContain("&lt;script&gt;");
    expect(showProof(proof)).not.toMatch(/[\u001b\u202e]/u);
  });
});

describe("the command", () => {
  async function run(
    ...argv: readonly string[]
  ): Promise<{ readonly status: number; readonly out: string; readonly err: string }> {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const streams = { stdin: new PassThrough(), stdout, stderr } as unknown as Pick<
      Parameters<typeof nacre>[2],
      "stderr" | "stdin" | "stdout"
    >;
    const interrupts = new Interrupts(new EventEmitter());
    const status = await nacre(COMMANDS, ["attest", ...argv], { ...streams, env: {}, interrupts });
    return { status, out: String(stdout.read() ?? ""), err: String(stderr.read() ?? "") };
  }

  it("verifies evidence of a file, and writes the page", async () => {
    const [file, html] = [join(home, "evidence.json"), join(home, "proof.html")];
    writeFileSync(file, JSON.stringify(evidence));
    const { status, out } = await run("--evidence", file, "--tee", "sample", "--html", html);
    expect(status).toBe(1);
    expect(out).toContain("! Nothing shows when, or for whom, the evidence was made.");
    const page = readFileSync(html, "utf8");
    expect(page).toContain("Not everything was affirmed.");
    expect(page).toContain("sample.launch_digest");
  });

  it.each([
    [["--evidence", "x", "--token", "y"], "one of GUEST"],
    [["--token", "/nowhere/x", "--initdata", "/nowhere/y"], "--initdata goes with evidence"],
    [["--evidence", "/nowhere/x"], "--evidence needs --tee"],
    [["--evidence", "/nowhere/x", "--tee", "sample"], "cannot be read"],
    [["--agent", "unix:///nowhere/agent.sock"], "cannot be reached"],
  ])("refuses %j", async (args, text) => {
    const { status, out, err } = await run(...args);
    expect([status === 0, out]).toEqual([false, ""]);
    expect(err).toContain(text);
  });
});
