import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

import { type Guest, listGuests, startGuest, sweep } from "@nacre/cli";
import { formatSealedSecret, signJws } from "@nacre/confidential-data-hub/secret";
import { formatInitdata, InitdataKey } from "@nacre/kbs-protocol";
import { AgentService, fromJson } from "@nacre/protocols";
import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { chooseNetwork } from "../../packages/cli/src/guest/network.ts";
import { type Broker, makeBroker } from "../fixtures/broker.ts";
import { createContainerBody, createSandboxBody } from "../fixtures/pod.ts";
import { busyboxImage, type PushedImage, type Registry, startRegistry } from "../fixtures/registry.ts";

const { CopyFile, CreateContainer, CreateSandbox, ReadStdout, RemoveContainer, StartContainer, WaitProcess } =
  AgentService.methods;

const SANDBOX = "sealed-sandbox";
const SHARED = "/run/kata-containers/shared/containers";
const VOLUME = `${SHARED}/app-1234-secret`;
const KID = "kbs:///pod/signing/pub";
const SECRETS = { env: "secret of the environment", file: "secret of the volume", rest: "resource over REST" } as const;

/** Sample evidence is enough for what lies below one repository. */
const ALLOWS = `package policy

import rego.v1

default allow := false

allow if {
	data.plugin == "resource"
	data["resource-path"][0] == "pod"
}
`;

/** What an unproven guest is not given. */
const AFFIRMED = `package policy

import rego.v1

default allow := false

allow if every _, submodule in input.submods { submodule["ear.status"] == "affirming" }
`;

const signer = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const sealed = (name: string): string =>
  signJws(
    Buffer.from(formatSealedSecret({ type: "vault", name, provider: "kbs", settings: {}, annotations: {} })),
    KID,
    signer,
  );

let stateRoot: string;
let broker: Broker;
let guest: Guest;
let registry: Registry;
let image: PushedImage;
let agent: TtrpcClient;

beforeAll(async () => {
  // Sockets have short names only: not below the system's temporary folder.
  stateRoot = mkdtempSync("/run/nacre-sealed-");
  const network = chooseNetwork();
  broker = await makeBroker(network.gateway);
  const logFile = join(stateRoot, "log");
  guest = await startGuest({ stateRoot, network, logFile, initdata: initdata(network.gateway) });
  await broker.start();
  await broker.setResourcePolicy(ALLOWS);
  expect(
    await broker.post("resource/pod/signing/pub", JSON.stringify(createPublicKey(signer).export({ format: "jwk" }))),
  ).toBe(200);
  for (const [name, value] of Object.entries(SECRETS))
    expect(await broker.post(`resource/pod/key/${name}`, value)).toBe(200);
  registry = await startRegistry({ address: `${network.gateway}:5000` });
  image = await busyboxImage(registry, "busybox:latest");
  agent = new TtrpcClient(await dial(guest.agentAddress));
  await agent.call(CreateSandbox, fromJson("grpc.CreateSandboxRequest", createSandboxBody(SANDBOX, "sealed")));
  await secretVolume({ password: sealed("kbs:///pod/key/file"), plain: "as it is" });
}, 120_000);

afterAll(async () => {
  agent?.close();
  for (const one of listGuests(stateRoot)) await one.stop();
  await sweep(stateRoot);
  await registry?.close();
  await broker[Symbol.asyncDispose]();
  rmSync(stateRoot, { recursive: true });
});

function initdata(gateway: string): string {
  const policy = readFileSync(join(import.meta.dirname, "../../guest-rootfs/policies/allow-all.rego"), "utf8");
  const pem = JSON.stringify(broker.certificate);
  const attestation = `[token_configs.kbs]\nurl = "${broker.url}"\ncert = ${pem}\npin_cert = true\n`;
  const mirror = `[[image.registry_config.registry]]\nprefix = "${gateway}"\ninsecure = true\n`;
  const hub = `[kbc]\nname = "cc_kbc"\nurl = "${broker.url}"\nkbs_cert = ${pem}\n${mirror}`;
  return formatInitdata({
    algorithm: "sha256",
    data: new Map<string, string>([
      [InitdataKey.POLICY, policy],
      [InitdataKey.ATTESTATION_AGENT, attestation],
      [InitdataKey.DATA_HUB, hub],
    ]),
  });
}

/** As a runtime copies what the kubelet wrote of a Secret. */
async function secretVolume(files: Readonly<Record<string, string>>): Promise<void> {
  const copy = async (path: string, data: string, file_mode: number): Promise<void> => {
    const bytes = Buffer.from(data);
    await agent.call(CopyFile, {
      path,
      data: bytes,
      file_size: BigInt(bytes.length),
      file_mode,
      dir_mode: 0o755,
      offset: 0n,
    });
  };
  await copy(VOLUME, "", 0o040755);
  await copy(`${VOLUME}/..2026`, "", 0o040755);
  for (const [name, content] of Object.entries(files)) {
    await copy(`${VOLUME}/..2026/${name}`, content, 0o100400);
    await copy(`${VOLUME}/${name}`, `..data/${name}`, 0o120777);
  }
  await copy(`${VOLUME}/..data`, "..2026", 0o120777);
}

const MOUNT = { destination: "/secret", source: VOLUME, type: "bind", options: ["rbind", "ro"] };
const SCRIPT = `echo "env $KEY"
echo "file $(cat /secret/password) $(cat /secret/plain)"
url=http://127.0.0.1:8006/cdh/resource/pod/key/rest
echo "rest $(wget -qO- $url 2>&1)"
echo "why $(wget -qO- "$url?errors=detailed" 2>&1)"`;

/** Creates and runs one, and gives its output; it is removed. */
async function run(id: string, parts: { env?: readonly string[]; mounts?: readonly object[] }): Promise<string> {
  const body = createContainerBody({
    id,
    sandboxId: SANDBOX,
    image: image.reference,
    args: ["sh", "-c", SCRIPT],
    ...parts,
  });
  await agent.call(CreateContainer, fromJson("grpc.CreateContainerRequest", body));
  await agent.call(StartContainer, { container_id: id });
  let text = "";
  for (;;) {
    const { data } = await agent.call(ReadStdout, { container_id: id, exec_id: id, len: 32_768 });
    if (data.length === 0) break;
    text += Buffer.from(data).toString();
  }
  await agent.call(WaitProcess, { container_id: id, exec_id: id });
  await agent.call(RemoveContainer, { container_id: id, timeout: 10 });
  return text;
}

const env = ["PATH=/bin", `KEY=${sealed("kbs:///pod/key/env")}`];

describe("a pod with sealed secrets", () => {
  it("has a value, a volume and a resource over REST", async () => {
    expect(await run("one", { env, mounts: [MOUNT] })).toBe(
      `env ${SECRETS.env}\nfile ${SECRETS.file} as it is\nrest ${SECRETS.rest}\nwhy ${SECRETS.rest}\n`,
    );
  });

  it("has none of them where the broker's policy does not affirm it, and the host is told why", async () => {
    await broker.setResourcePolicy(AFFIRMED);
    await expect(run("two", { env })).rejects.toThrow(
      /^unsealing the environment's "KEY"[^]*\[CDH\] \[ERROR\]: Unseal Secret failed: [^]*PolicyDeny/u,
    );
    await expect(run("three", { env: ["PATH=/bin"], mounts: [MOUNT] })).rejects.toThrow(
      /^unsealing the file "\.\.2026\/password" of \/secret[^]*PolicyDeny/u,
    );
    const rest = await run("four", { env: ["PATH=/bin", "KEY=none"] });
    expect(rest).toMatch(/^env none\nfile +\nrest .*500.*\nwhy .*403/u);
    for (const secret of Object.values(SECRETS)) expect(rest).not.toContain(secret);
    await broker.setResourcePolicy(ALLOWS);
    expect(await run("five", { env, mounts: [MOUNT] })).toContain(SECRETS.env);
  });

  it("leaves none in the log, and nothing in the guest when it is gone", () => {
    const log = guest.log();
    for (const secret of Object.values(SECRETS)) expect(log).not.toContain(secret);
    const folder = `/proc/${guest.initPid}/root/run/kata-containers`;
    for (const id of ["one", "two", "three", "four", "five"]) {
      expect(() => readFileSync(join(folder, id, "config.json"))).toThrow("ENOENT");
    }
  });
});
