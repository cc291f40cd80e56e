import { formatInitdata, InitdataKey, MAX_DOCUMENT } from "@nacre/kbs-protocol";
import { Code } from "@nacre/protocols";
import { RpcError } from "@nacre/ttrpc";
import { describe, expect, it } from "vitest";

import { parseVmId, parseVmSpec } from "../../src/hypervisor/vm-spec.ts";

const INITDATA = formatInitdata({
  algorithm: "sha384",
  data: new Map([[InitdataKey.POLICY as string, "package agent_policy\n"]]),
});
const PREFIX = "io.katacontainers.config.hypervisor.";
const request = (annotations: Record<string, string>, change: Record<string, string> = {}) => ({
  id: "0123456789abcdef".repeat(4),
  annotations,
  networkNamespacePath: "/var/run/netns/cni-1",
  ...change,
});

/** The status that a request is refused with. */
function refusal(annotations: Record<string, string>, change: Record<string, string> = {}): string {
  try {
    parseVmSpec(request(annotations, change));
  } catch (error) {
    expect(error).toBeInstanceOf(RpcError);
    expect((error as RpcError).code).toBe(Code.INVALID_ARGUMENT);
    return (error as RpcError).message;
  }
  throw new Error("expected a refusal");
}

describe("parseVmSpec", () => {
  it("reads what the Go runtime sends", () => {
    const spec = parseVmSpec(
      request({
        "io.kubernetes.cri.sandbox-name": "web-0",
        "io.kubernetes.cri.sandbox-namespace": "shop",
        [`${PREFIX}machine_type`]: "simulated",
        [`${PREFIX}image`]: "small",
        [`${PREFIX}default_vcpus`]: "2",
        [`${PREFIX}default_memory`]: "512",
        [`${PREFIX}default_gpus`]: "0",
        [`${PREFIX}default_gpu_model`]: "",
        [`${PREFIX}cc_init_data`]: INITDATA,
      }),
    );
    expect(spec).toEqual({
      id: "0123456789abcdef".repeat(4),
      pod: "web-0",
      namespace: "shop",
      machineType: "simulated",
      image: "small",
      vcpus: 2,
      memoryBytes: 512 * 1024 * 1024,
      initdata: INITDATA,
      networkNamespace: "/var/run/netns/cni-1",
    });
  });

  it("takes empty texts, zeros and absent annotations for things that the runtime does not know", () => {
    const nothing = { pod: "", namespace: "", machineType: "", image: "", networkNamespace: "" };
    const absent = { vcpus: undefined, memoryBytes: undefined, initdata: undefined };
    const empty = Object.fromEntries(
      ["machine_type", "image", "default_vcpus", "default_memory", "default_gpus", "cc_init_data"].map((key) => [
        `${PREFIX}${key}`,
        "",
      ]),
    );
    const zeros = { ...empty, [`${PREFIX}default_vcpus`]: "0", [`${PREFIX}default_memory`]: "0" };
    for (const annotations of [{}, empty, zeros]) {
      expect(parseVmSpec(request(annotations, { networkNamespacePath: "" }))).toEqual({
        id: request({}).id,
        ...nothing,
        ...absent,
      });
    }
  });

  it.each(["-1", "1.5", "0x10", "1e3", " 1", "12345678901", "1025", "many"])("refuses %j vCPUs", (text) => {
    expect(refusal({ [`${PREFIX}default_vcpus`]: text })).toBe(
      `${PREFIX}default_vcpus: expected a whole number up to 1024, got ${JSON.stringify(text)}`,
    );
  });

  it("takes memory in which no guest starts, and refuses more than the runtime can count", () => {
    expect(parseVmSpec(request({ [`${PREFIX}default_memory`]: "1" })).memoryBytes).toBe(1 << 20);
    expect(refusal({ [`${PREFIX}default_memory`]: "4294967296" })).toContain("up to 4294967295");
  });

  it("refuses devices that no guest has", () => {
    expect(refusal({ [`${PREFIX}default_gpus`]: "1" })).toBe(
      `${PREFIX}default_gpus: expected 0, as these guests have none, got "1"`,
    );
  });

  it("refuses texts beyond their limits, without repeating them", () => {
    expect(refusal({ [`${PREFIX}cc_init_data`]: "x".repeat(MAX_DOCUMENT + 1) })).toBe(
      `${PREFIX}cc_init_data: expected at most ${MAX_DOCUMENT} bytes, got ${MAX_DOCUMENT + 1}`,
    );
    expect(refusal({ "io.kubernetes.cri.sandbox-name": "x".repeat(254) })).toContain("at most 253 bytes");
  });

  it("refuses documents that no agent would take", () => {
    const initdata = (document: string): string => refusal({ [`${PREFIX}cc_init_data`]: document });
    expect(initdata("not toml")).toMatch(/^io\.katacontainers\.config\.hypervisor\.cc_init_data: initdata/u);
    expect(initdata(INITDATA.replace("0.1.0", "0.2.0"))).toContain("version");
    expect(initdata(INITDATA.replace("sha384", "md5"))).toContain('expected one of sha256, sha384, sha512, got "md5"');
    // The runtime has decoded the pod's annotation.
    expect(initdata(Buffer.from(INITDATA).toString("base64"))).toContain("initdata");
  });

  it("refuses paths that lead nowhere certain", () => {
    for (const path of ["proc/self/ns/net", "/a\0b", `/${"x".repeat(4096)}`]) {
      const text = refusal({}, { networkNamespacePath: path });
      expect(text).toContain("networkNamespacePath: expected an absolute path");
      expect(text.length).toBeLessThan(200);
    }
  });
});

describe("parseVmId", () => {
  it.each(["a", "0123abcd", "pod-1_x.y", "x".repeat(128)])("takes %s", (id) => expect(parseVmId(id)).toBe(id));

  it.each(["", ".", "..", ".hidden", "-x", "a/b", "../../etc/passwd", "a\0b", "a b", "ä", "a\n", "x".repeat(129)])(
    "refuses %j",
    (id) => {
      expect(() => parseVmId(id)).toThrow("id: expected 1 to 128 letters");
    },
  );
});
