import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  formatSealedSecret,
  parseVerificationKey,
  type SealedSecret,
  signJws,
  Unsealer,
} from "@nacre/confidential-data-hub/secret";
import { wrap } from "@nacre/ocicrypt";
import { GetResourceService } from "@nacre/protocols";
import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";

import { Child } from "./child.ts";
import { type BenchRow, median } from "./row.ts";

/** Bounds: the Rust hub takes 20 ms for each resource on a similar machine; it is not packaged here. */
const RUST_MS = 20;
const KEPT_MS = 2;
const FIRST_MS = 12;
const UNSEAL_MS = 1;
const STARTS = 3;
const CALLS = 500;

const BUNDLES = join(import.meta.dirname, "../../build/bundles");
const { GetResource } = GetResourceService.methods;

/** The data hub and the attestation agent as the guest has them, and our broker: each a process of its own. */
export async function benchHub(): Promise<BenchRow[]> {
  const first: number[] = [];
  const kept: number[] = [];
  for (let start = 0; start < STARTS; start++) await oneStart(first, kept);
  return [
    bound("first GetResource after the start, with its attestation", median(first), FIRST_MS),
    {
      ...bound("GetResource with a kept token, over ttRPC", median(kept), KEPT_MS),
      peer: RUST_MS,
      ratio: median(kept) / RUST_MS,
      note: "the peer's figure is a recorded one",
    },
    bound("unsealing an envelope, its keys at hand", await unseal(), UNSEAL_MS),
  ];
}

async function oneStart(first: number[], kept: number[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "nacre-bench-"));
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const daemon = (name: string, args: readonly string[]): Promise<Child> =>
    Child.start([process.execPath, "--disable-sigusr1", join(BUNDLES, `${name}.mjs`), ...args], false);
  try {
    const script = join(import.meta.dirname, "attest-broker.ts");
    await using broker = await Child.start([process.execPath, "--conditions=source", script], true);
    const url = `http://127.0.0.1:${broker.said}`;
    const [agentSocket, hubSocket] = [`unix://${folder}/aa.sock`, `unix://${folder}/cdh.sock`];
    const agentConfig = file("aa.toml", `[token_configs.kbs]\nurl = "${url}"\n`);
    await using agent = await daemon("attestation-agent", ["-a", agentSocket, "-c", agentConfig]);
    const aa = `[aa]\naa_socket = "${agentSocket}"\n`;
    const hubConfig = file("cdh.toml", `socket = "${hubSocket}"\n${aa}[kbc]\nname = "cc_kbc"\nurl = "${url}"\n`);
    await using hub = await daemon("confidential-data-hub", ["-c", hubConfig]);
    void [agent, hub];
    const client = new TtrpcClient(await dial(hubSocket));
    const get = async (): Promise<number> => {
      const start = performance.now();
      await client.call(GetResource, { ResourcePath: "kbs:///bench/key/one" });
      return performance.now() - start;
    };
    first.push(await get());
    for (let i = 0; i < CALLS; i++) await get();
    for (let i = 0; i < CALLS; i++) kept.push(await get());
    client.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What unsealing costs beside what it asks of others. */
async function unseal(): Promise<number> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const [key, iv] = [randomBytes(32), randomBytes(12)];
  const secret: SealedSecret = {
    type: "envelope",
    keyId: "key",
    encryptedKey: randomBytes(64),
    data: { type: "A256GCM", iv, data: wrap("A256GCM", key, iv, randomBytes(1024)) },
    provider: "bench",
    settings: {},
    annotations: {},
  };
  const verification = parseVerificationKey(Buffer.from(JSON.stringify(publicKey.export({ format: "jwk" }))));
  const unsealer = new Unsealer({
    skipVerification: false,
    keys: { get: () => Promise.resolve(verification) },
    openKms: () =>
      Promise.resolve({
        decrypt: () => Promise.resolve(Buffer.from(key)),
        secret: () => Promise.reject(new Error("none")),
      }),
  });
  const sealed = Buffer.from(signJws(Buffer.from(formatSealedSecret(secret)), "kid", privateKey));
  const { signal } = new AbortController();
  const times: number[] = [];
  for (let i = 0; i < 2 * CALLS; i++) {
    const start = performance.now();
    await unsealer.unseal(sealed, signal);
    if (i >= CALLS) times.push(performance.now() - start);
  }
  return median(times);
}

function bound(name: string, ours: number, most: number): BenchRow {
  return { name, ours, peer: null, ratio: null, target: `ours <= ${most}`, unit: "ms", met: ours <= most };
}
