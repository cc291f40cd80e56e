import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempDisposableSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, it } from "vitest";

import { parseConfig } from "../src/config.ts";
import { openConfig } from "../src/open-config.ts";
import type { TrusteeOptions } from "../src/trustee.ts";

const open = (text: string, log: string[] = []): Promise<TrusteeOptions> =>
  openConfig(parseConfig(`[http_server]\ninsecure_http = true\nworker_count = 2\n${text}`, "toml"), {
    allowInsecureAdmin: false,
    log: (line) => void log.push(line),
    fetchBytes: () => Promise.reject(new Error("no network here")),
  });

const tpmKeys = ({ attestation }: TrusteeOptions) =>
  attestation !== undefined && "tpmKeys" in attestation ? attestation.tpmKeys : undefined;

it("takes the attestation keys of TPMs from their folder, and does not start without it", async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), "trustee-keys-"));
  const keys = join(folder.path, "keys");
  const text = `[attestation_service]\ntype = "coco_as_builtin"\n[attestation_service.verifier_config.tpm_verifier]
trusted_ak_keys_dir = "${keys}"\nmax_trusted_ak_keys = 1\n`;
  await expect(open(text)).rejects.toThrow(`${keys}: expected a folder of attestation keys`);
  mkdirSync(keys);
  expect(tpmKeys(await open(text))).toEqual([]);
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  writeFileSync(join(keys, "one.pem"), publicKey.export({ type: "spki", format: "pem" }));
  expect(tpmKeys(await open(text))?.[0]?.equals(publicKey)).toBe(true);
  writeFileSync(join(keys, "two.pem"), "no key");
  await expect(open(text)).rejects.toThrow("at most 1 attestation keys");
  await expect(open(text.replace("max_trusted_ak_keys = 1", ""))).rejects.toThrow("two.pem: expected a public key");
});

it("names settings without effect", async () => {
  const log: string[] = [];
  await open("", log);
  expect(log).toEqual(["configuration: http_server.worker_count has no effect here"]);
});
