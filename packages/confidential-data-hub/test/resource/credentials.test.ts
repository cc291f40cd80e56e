import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { CREDENTIALS_ROOT, HubError, writeCredentials } from "../../src/index.ts";

const { signal } = new AbortController();
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "nacre-credentials-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("writeCredentials", () => {
  it("writes each for this user alone, and keeps no copy", async () => {
    const given: Buffer[] = [];
    const get = (name: string): Promise<Buffer> => {
      given.push(Buffer.from(`of ${name}`));
      return Promise.resolve(given.at(-1) ?? Buffer.alloc(0));
    };
    const path = `${CREDENTIALS_ROOT}/kms-credential/aws/credential.json`;
    const other = { path: `${CREDENTIALS_ROOT}/other`, uri: "kbs:///d/e/f" };
    await writeCredentials([{ path, uri: "kbs:///a/b/c" }, other], { get }, signal, folder);
    expect(readFileSync(`${folder}${path}`, "utf8")).toBe("of kbs:///a/b/c");
    expect(readFileSync(`${folder}${other.path}`, "utf8")).toBe("of kbs:///d/e/f");
    expect(statSync(`${folder}${path}`).mode & 0o777).toBe(0o600);
    expect(statSync(`${folder}${CREDENTIALS_ROOT}/kms-credential`).mode & 0o777).toBe(0o700);
    for (const bytes of given) expect(bytes.equals(Buffer.alloc(bytes.length))).toBe(true);
  });

  it("names the one that was not had", async () => {
    const get = (): Promise<Buffer> => Promise.reject(new HubError("missing", "there is none"));
    await expect(
      writeCredentials([{ path: `${CREDENTIALS_ROOT}/x`, uri: "kbs:///a/b/c" }], { get }, signal, folder),
    ).rejects.toThrow(`credential ${CREDENTIALS_ROOT}/x: kbs:///a/b/c was not had`);
  });
});
