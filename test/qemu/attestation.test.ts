import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { startGuest } from "@nacre/cli";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { extendAll } from "../../guest-rootfs/measure/pcr.ts";
import { chooseNetwork } from "../../packages/cli/src/guest/network.ts";
import type { GuestNetwork } from "../../packages/cli/src/guest/state.ts";
import { AttackedGuest } from "../fixtures/attacked-guest.ts";
import { builtImage } from "../fixtures/boot-image.ts";
import { type Broker, makeBroker } from "../fixtures/broker.ts";
import { brokerInitdata } from "../fixtures/broker-initdata.ts";
import { QEMU } from "../fixtures/guest-kind.ts";
import { ownStateRoot } from "../fixtures/state-root.ts";
import { changedImage } from "../fixtures/measured-guest.ts";
import { NacreCommand } from "../fixtures/nacre-command.ts";
import type { TestGuestOptions } from "../fixtures/test-guest.ts";

const image = builtImage("devkit");
const ALLOW_ALL = readFileSync(join(import.meta.dirname, "../../guest-rootfs/policies/allow-all.rego"), "utf8");
/** In the image's folder, for a broker. */
const IMAGE_VALUES = "reference-values.json";
const SECRET = "what only this very guest may know";
const PATH = "guest/key/one";
/** As a container gets it. */
const GET: readonly string[] = ["wget", "-q", "-O", "-", `http://127.0.0.1:8006/cdh/resource/${PATH}`];

const stateRoot = ownStateRoot();
let network: GuestNetwork;
let broker: Broker;
let initdata: string;
beforeEach(async () => {
  network = chooseNetwork();
  broker = await makeBroker(network.gateway);
  initdata = brokerInitdata(broker, ALLOW_ALL, network);
});
afterEach(async () => {
  await broker[Symbol.asyncDispose]();
});

interface Asked {
  /** What its container got. */
  readonly got: string;
  /** Of the broker's last event of a kind: how it judged the guest, and how the request ended. */
  readonly status: unknown;
  readonly outcome: unknown;
  readonly reason: unknown;
}

/**
 * Boots by firmware with a TPM and has a container ask for the resource. The broker, under its own policies, knows what
 * the build has written of the image as it is, this TPM's key, and the initdata that the owner has made.
 */
async function asks(options: TestGuestOptions, meanwhile?: (guest: AttackedGuest) => Promise<void>): Promise<Asked> {
  const own = { stateRoot: stateRoot(), network, initdata, ovmf: true, viewed: false };
  await using guest = await AttackedGuest.start({ ...own, ...options });
  const { attestationKey = "" } = guest.guest.guest;
  await broker.start();
  await expectValues(readFileSync(join(image.folder, IMAGE_VALUES), "utf8"));
  const bound = extendAll([createHash("sha256").update(initdata).digest()]);
  await expectValues(message({ trusted_aks: [attestationKey], tpm_pcr08: [bound.toString("hex")] }));
  expect(await broker.post(`resource/${PATH}`, SECRET)).toBe(200);
  const got = await guest.print("asks", GET);
  await meanwhile?.(guest);
  const last = (name: string): Readonly<Record<string, unknown>> =>
    broker.audit().findLast(({ event }) => event === name) ?? {};
  const [judged] = last("attest")["findings"] as readonly { readonly status: unknown }[];
  const { outcome, reason } = last("resource");
  return { got, status: judged?.status, outcome, reason };
}

async function expectValues(text: string): Promise<void> {
  expect(await broker.post("reference-value", text)).toBe(200);
}

function message(values: object): string {
  const payload = Buffer.from(JSON.stringify(values)).toString("base64");
  return JSON.stringify({ version: "0.1.0", type: "sample", payload });
}

/** Evidence that holds, of a boot that nobody expects. */
const REFUSED: Asked = { got: "", status: "warning", outcome: "refused", reason: "Access denied by policy" };

describe("a virtual machine that firmware has measured into its TPM", () => {
  it("proves itself to the broker over TLS, is given the resource, and is shown to be proven", async () => {
    const asked = await asks({}, async (guest) => {
      const { id, layout } = guest.guest.guest;
      const nacre = new NacreCommand(stateRoot());
      const document = join(stateRoot(), "initdata.toml");
      writeFileSync(document, initdata);
      const own = ["--initdata", document, "--reference-values", layout.referenceValues];
      const ofImage = ["--reference-values", join(image.folder, IMAGE_VALUES)];
      const shown = await nacre.run(["attest", id, ...own, ...ofImage]);
      expect([shown.status, shown.stderr]).toEqual([0, ""]);
      expect(shown.stdout).toContain("+ Initdata is bound: its digest is part of what was measured.");
      expect(shown.stdout).toContain("cpu0: affirming (policy default)");
      for (const name of ["tpm_pcr04", "tpm_pcr08", "tpm_pcr09", "tpm_pcr11", "tpm_pcr12", "trusted_aks"]) {
        expect(shown.stdout).toMatch(new RegExp(`^${name} .* agrees$`, "mu"));
      }
      // Without this machine's word for it nobody vouches for the TPM.
      const doubted = await nacre.run(["attest", id, ...ofImage]);
      expect(doubted.status).toBe(1);
      expect(doubted.stdout).toContain("cpu0: warning");
      expect(await nacre.json(["aa", "get-tee", "--guest", id, "--json"])).toEqual({ tee: "tpm", devices: [] });
      const token = await nacre.json<{ submods: object }>(["aa", "get-token", "--claims", "--guest", id, "--json"]);
      expect(token.submods).toMatchObject({ cpu0: { "ear.status": "affirming" } });
    });
    expect(asked).toEqual({ got: SECRET, status: "affirming", outcome: "allowed", reason: undefined });
  });

  it.each([".cmdline", ".osrel"] as const)(
    "is given nothing with a byte of its image changed, in %s",
    async (section) => {
      const imageFolder = join(stateRoot(), "image");
      changedImage(image, imageFolder, section);
      expect(await asks({ imageFolder })).toEqual(REFUSED);
    },
  );

  it("is given nothing where its host has added a byte to the command line", async () => {
    expect(await asks({ kernelParameters: ["x"] })).toEqual(REFUSED);
  });

  it("is given nothing where its host has changed a byte of the initdata", async () => {
    const other = initdata.replace("Not for production", "Nut for production");
    expect(other).not.toBe(initdata);
    expect(await asks({ initdata: other })).toEqual(REFUSED);
  });
});

describe("a virtual machine that cannot bind its initdata does not go on", () => {
  it("without a TPM", async () => {
    const starting = startGuest({ ...QEMU, stateRoot: stateRoot(), tpm: false });
    await expect(starting).rejects.toThrow("initdata: sample has no place for it, and only a simulated guest goes on");
  });

  it("with a digest that no register takes", async () => {
    const document = initdata.replace('algorithm = "sha256"', 'algorithm = "sha384"');
    expect(document).not.toBe(initdata);
    const starting = startGuest({ ...QEMU, stateRoot: stateRoot(), initdata: document });
    await expect(starting).rejects.toThrow("initdata: expected a digest of 32 bytes (sha256) on a platform with a TPM");
  });
});
