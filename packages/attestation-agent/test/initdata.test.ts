import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { formatInitdata, initdataDigest } from "@nacre/kbs-protocol";
import { afterAll, describe, expect, it } from "vitest";

import { bindGiven, readInitdata } from "../src/index.ts";
import { attester } from "./fakes.ts";

const folder = mkdtempSync(join(tmpdir(), "nacre-aa-initdata-"));
afterAll(() => rmSync(folder, { recursive: true }));
const options = { version: false, socket: "unix:///s" };
const toml = formatInitdata({ algorithm: "sha256", data: new Map([["a", "b"]]) });
const path = join(folder, "initdata.toml");
writeFileSync(path, toml);

const bound = { ...attester(), bindInitdata: () => Promise.resolve("bound" as const) };
const wrong = { ...attester(), bindInitdata: () => Promise.reject(new Error("mismatch")) };

describe("initdata", () => {
  it("is a document, or else its digest", () => {
    expect(readInitdata(options)).toBeUndefined();
    const digest = initdataDigest(Buffer.from(toml), "sha256");
    expect(readInitdata({ ...options, initdataToml: path, initdataDigest: "AAAA" })).toEqual({
      digest,
      document: { format: "toml", body: toml },
    });
    expect(readInitdata({ ...options, initdataDigest: "AAAA" })).toEqual({
      digest: Buffer.alloc(3),
      document: undefined,
    });
    expect(() => readInitdata({ ...options, initdataDigest: "!!!" })).toThrow("base64 decode initdata");
    expect(() => readInitdata({ ...options, initdataToml: "/none" })).toThrow("read initdata toml file");
  });

  it("that another was measured for ends the agent", async () => {
    for (const simulated of [true, false]) {
      await expect(
        bindGiven(readInitdata({ ...options, initdataToml: path }), wrong, simulated, () => {}),
      ).rejects.toThrow("mismatch");
    }
  });

  it("that no platform bound ends it, but in a simulated guest", async () => {
    const given = readInitdata({ ...options, initdataToml: path });
    const lines: string[] = [];
    const log = (level: string, text: string): void => void lines.push(`${level} ${text}`);
    await bindGiven(given, bound, false, log);
    await bindGiven(given, attester(), true, log);
    await bindGiven(undefined, attester(), false, log);
    expect(lines).toEqual([
      "info Check initdata passed.",
      expect.stringMatching(/^warn UNBOUND initdata: sample has no place for it/u),
    ]);
    await expect(bindGiven(given, attester(), false, log)).rejects.toThrow(
      "initdata: sample has no place for it, and only a simulated guest goes on without",
    );
  });
});
