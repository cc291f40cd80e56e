import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { formatInitdata, writeInitdataImage } from "@nacre/kbs-protocol";
import { AgentService } from "@nacre/protocols";
import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { startAgent, type TestAgent } from "../fixtures/agent-harness.ts";
import { ALLOW_ALL } from "../fixtures/agent-requests.ts";

const MAIN = resolve(import.meta.dirname, "../../packages/kata-agent/src/main.ts");

/** The agent's source as a build of a flavour, not in a simulated guest. */
const buildOf = (flavour: string): readonly string[] => [
  process.execPath,
  "--conditions=source",
  "--disable-warning=ExperimentalWarning",
  "--import",
  `data:text/javascript,globalThis.NACRE_FLAVOUR=${JSON.stringify(flavour)}`,
  MAIN,
];

/** A policy that refuses what the default one allows. */
const POLICY = `package agent_policy

default GuestDetailsRequest := false
default ListInterfacesRequest := true
`;

describe("initdata on a block device", () => {
  let folder: string;
  let loop: string | undefined;
  let agent: TestAgent | undefined;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "nacre-initdata-"));
  });

  afterEach(async () => {
    await agent?.stop();
    agent = undefined;
    if (loop !== undefined) execFileSync("/usr/sbin/losetup", ["-d", loop]);
    loop = undefined;
    rmSync(folder, { recursive: true });
  });

  /** A /dev of the guest's own: a disk that nothing is behind, an empty one, and the one with `image`. */
  async function start(image: Buffer, entry?: readonly string[]): Promise<TestAgent> {
    writeFileSync(join(folder, "initdata.img"), image);
    loop = execFileSync("/usr/sbin/losetup", ["-r", "-f", "--show", join(folder, "initdata.img")], {
      encoding: "utf8",
    }).trim();
    const prepare = `
      mkdir /run/dev && mount -t tmpfs tmpfs /run/dev
      mknod /run/dev/null c 1 3; mknod /run/dev/zero c 1 5; mknod /run/dev/urandom c 1 9; mknod /run/dev/random c 1 8
      mkdir /run/dev/pts && mount --bind /dev/pts /run/dev/pts && ln -s pts/ptmx /run/dev/ptmx
      mknod /run/dev/sda b 8 4095
      mknod /run/dev/vda c 1 5
      mknod /run/dev/vdb b $(stat -c '0x%t 0x%T' ${loop})
      mount --move /run/dev /dev`;
    agent = await startAgent({
      policy: ALLOW_ALL,
      prepare,
      logLevel: "info",
      ...(entry === undefined ? {} : { entry }),
    });
    return agent;
  }

  const document = (policy: string): Buffer =>
    Buffer.from(
      formatInitdata({
        algorithm: "sha384",
        data: new Map([
          ["policy.rego", policy],
          ["cdh.toml", "[image]\n"],
        ]),
      }),
    );

  it("gives the policy in force and the hub's configuration", async () => {
    const started = await start(await writeInitdataImage(document(POLICY)));
    const client = new TtrpcClient(await dial(`unix://${started.socket}`));
    try {
      await expect(client.call(AgentService.methods.GetGuestDetails, {})).rejects.toMatchObject({ code: 7 });
      await client.call(AgentService.methods.ListInterfaces, {});
      await expect(client.call(AgentService.methods.SetPolicy, { policy: ALLOW_ALL })).rejects.toMatchObject({
        code: 13,
      });
    } finally {
      client.close();
    }
    const path = "/run/confidential-containers/initdata";
    expect(await started.inside("cat", `${path}/cdh.toml`)).toBe("[image]\n");
    expect(await started.inside("cat", `${path}/initdata.toml`)).toBe(document(POLICY).toString());
    await started.logged(/"msg":"UNBOUND initdata on \/dev\/vdb: no attestation agent binds it/);
    await started.logged(
      /"msg":"policy of initdata in force".*"sha256":"[0-9a-f]{64}","replaced_sha256":"[0-9a-f]{64}"/,
    );
    await started.logged(/"a disk cannot be opened and is not looked at".*"device":"\/dev\/sda"/);
  });

  it.each(["devkit", "kata"])("ends the agent of a %s image, where nothing binds it", async (flavour) => {
    const image = await writeInitdataImage(document(POLICY));
    await expect(start(image, buildOf(flavour))).rejects.toThrow(
      /kata-agent: initdata on \/dev\/vdb: no attestation agent binds it, and only a simulated guest goes on without\n/,
    );
  });

  it("ends the agent with one line when it is malformed", async () => {
    await expect(start(await writeInitdataImage(Buffer.from("nonsense")))).rejects.toThrow(
      /\nkata-agent: initdata on \/dev\/vdb: initdata: expected TOML, got none at line 1, column \d+\nagent exit 1\n/,
    );
  });

  it("ends the agent with one line when its policy does not parse", async () => {
    await expect(start(await writeInitdataImage(document("package agent_policy\n}")))).rejects.toThrow(
      /\nkata-agent: policy of initdata: [^\n]+\nagent exit 1\n/,
    );
  });
});
