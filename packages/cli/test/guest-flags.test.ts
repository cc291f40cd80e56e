import { PassThrough } from "node:stream";

import { describe, expect, it } from "vitest";

import { guestOptions, mebibytes, wholeNumber } from "../src/commands/guest-flags.ts";

const NETWORK = { gateway: "198.18.0.1", address: "198.18.0.2", prefixLength: 30 };
type Given = Parameters<typeof guestOptions>[0];
const NONE: Given = { policy: undefined, mirror: [], "insecure-registry": [], "registry-ca": [], kernel: [] };
const stdin = new PassThrough() as unknown as NodeJS.ReadStream;

async function rules(flags: Partial<Given>) {
  const { registries } = await guestOptions({ ...NONE, ...flags }, { stdin });
  return typeof registries === "function" ? registries(NETWORK) : registries;
}

describe("the flags of guests", () => {
  it("are nothing where nothing is asked for", async () => {
    const options = await guestOptions(NONE, { stdin });
    expect(options).toMatchObject({ extraRoots: [], kernelParameters: [] });
    expect("policy" in options).toBe(false);
    expect(await rules({})).toEqual([]);
  });

  it("send a registry's images elsewhere, to this machine without TLS", async () => {
    const mirror = ["docker.io=gateway:5000", "quay.io/one=gateway:5000/quay", "ghcr.io=mirror.example/ghcr"];
    expect(await rules({ mirror, "insecure-registry": ["plain.example"] })).toEqual([
      { prefix: "docker.io", location: "198.18.0.1:5000", insecure: true },
      { prefix: "quay.io/one", location: "198.18.0.1:5000/quay", insecure: true },
      { prefix: "ghcr.io", location: "mirror.example/ghcr" },
      { prefix: "plain.example", insecure: true },
    ]);
  });

  it.each(["", "docker.io", "=gateway", "docker.io=", "a=b=c", "a=http://b", "a=b:port", "a b=c"])(
    "refuse the mirror %j",
    async (mirror) => {
      await expect(guestOptions({ ...NONE, mirror: [mirror] }, { stdin })).rejects.toThrow("--mirror: expected NAME=");
    },
  );

  it("count in whole numbers", () => {
    expect(mebibytes("--memory", "512")).toBe(512 << 20);
    expect(wholeNumber("--vcpus", "4")).toBe(4);
    for (const text of ["", "-1", "1.5", "1e3", "12345678"])
      expect(() => wholeNumber("--vcpus", text)).toThrow("--vcpus");
  });
});
