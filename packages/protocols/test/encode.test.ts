import { describe, expect, it } from "vitest";
import { AgentService, encode, EncodeError } from "../src/index.ts";

const hexOf = (type: string, value: object): string => Buffer.from(encode(type, value)).toString("hex");

/** The code and text of the EncodeError for a value. */
function refusal(type: string, value: object): string {
  try {
    encode(type, value);
  } catch (error) {
    expect(error).toBeInstanceOf(EncodeError);
    return `${(error as EncodeError).code}: ${(error as EncodeError).message}`;
  }
  throw new Error("nothing was refused");
}

describe("encode", () => {
  it("leaves out what is absent, null or zero", () => {
    expect(hexOf("grpc.CreateContainerRequest", {})).toBe("");
    expect(hexOf("grpc.CreateContainerRequest", { container_id: "", OCI: null, devices: [], stdin_port: 0 })).toBe("");
    expect(hexOf("grpc.MemAgentMemcgConfig", { disabled: false, period_secs: 0n })).toBe("08002000");
    expect(hexOf("grpc.CreateContainerRequest", { OCI: {} })).toBe("3200");
  });

  it("writes map entries whole and in order", () => {
    expect(hexOf("grpc.Spec", { Annotations: { b: "", a: "1" } })).toBe("3a050a016212003a060a0161120131");
    expect(hexOf("grpc.MemoryStats", { stats: { a: 0n } })).toBe("32050a01611000");
  });

  it("takes safe integers for 64-bit fields", () => {
    expect(hexOf("grpc.CopyFileRequest", { file_size: 5, offset: -1 })).toBe("100538ffffffffffffffffff01");
    expect(hexOf("grpc.ResizeVolumeRequest", { size: 2 ** 40 })).toBe("10808080808020");
  });

  it("writes text of every length and kind", () => {
    for (const text of ["x".repeat(95), "x".repeat(96), "x".repeat(97), "ü".repeat(60), `${"x".repeat(90)}日本`]) {
      const body = Buffer.from(text);
      const head = body.length < 128 ? [0x0a, body.length] : [0x0a, (body.length & 127) | 128, body.length >> 7];
      expect(hexOf("grpc.StartContainerRequest", { container_id: text })).toBe(
        Buffer.concat([Buffer.from(head), body]).toString("hex"),
      );
    }
  });

  it("replaces a lone surrogate", () => {
    expect(hexOf("grpc.StartContainerRequest", { container_id: "\ud800" })).toBe("0a03efbfbd");
  });

  it("grows for large data and keeps results apart", () => {
    const large = Buffer.alloc(1_000_000, 7);
    const first = encode("grpc.ReadStreamResponse", { data: large });
    const second = encode("grpc.WriteStreamRequest", { container_id: "c", data: Buffer.alloc(9000, 8), exec_id: "e" });
    encode("grpc.StartContainerRequest", { container_id: "y".repeat(5000) });
    expect(Buffer.from(first.subarray(0, 4)).toString("hex")).toBe("0ac0843d");
    expect(Buffer.compare(first.subarray(4), large)).toBe(0);
    expect(Buffer.from(second.subarray(0, 9)).toString("hex")).toBe("0a01631201651aa846");
    expect(Buffer.compare(second.subarray(9), Buffer.alloc(9000, 8))).toBe(0);
  });

  it("survives a getter that encodes", () => {
    const value = {
      get exec_id(): string {
        return Buffer.from(encode("grpc.StartContainerRequest", { container_id: "in" })).toString("hex");
      },
      container_id: "out",
    };
    expect(hexOf("grpc.WaitProcessRequest", value)).toBe(`0a036f75741208${Buffer.from("0a02696e").toString("hex")}`);
  });

  it("goes on after a refusal", () => {
    expect(refusal("grpc.ExecProcessRequest", { container_id: 5, exec_id: "kept out" })).toContain("container_id");
    expect(hexOf("grpc.StartContainerRequest", { container_id: "a" })).toBe("0a0161");
  });
});

describe("refusals", () => {
  it.each([
    [
      "grpc.StartContainerRequest",
      { container_id: 5 },
      "type: grpc.StartContainerRequest.container_id: expected a string, got number",
    ],
    ["grpc.ReadStreamResponse", { data: "text" }, "type: grpc.ReadStreamResponse.data: expected bytes, got string"],
    [
      "grpc.GetIPTablesRequest",
      { is_ipv6: 1 },
      "type: grpc.GetIPTablesRequest.is_ipv6: expected a boolean, got number",
    ],
    [
      "grpc.WriteStreamResponse",
      { len: -1 },
      "range: grpc.WriteStreamResponse.len: -1 is not in the range of its type",
    ],
    [
      "grpc.WriteStreamResponse",
      { len: 2 ** 32 },
      "range: grpc.WriteStreamResponse.len: 4294967296 is not in the range of its type",
    ],
    [
      "grpc.WriteStreamResponse",
      { len: 1.5 },
      "range: grpc.WriteStreamResponse.len: 1.5 is not in the range of its type",
    ],
    ["grpc.WriteStreamResponse", { len: "1" }, "type: grpc.WriteStreamResponse.len: expected a number, got string"],
    [
      "grpc.WaitProcessResponse",
      { status: 2 ** 31 },
      "range: grpc.WaitProcessResponse.status: 2147483648 is not in the range of its type",
    ],
    [
      "grpc.ResizeVolumeRequest",
      { size: -1n },
      "range: grpc.ResizeVolumeRequest.size: -1 is not in the range of its type",
    ],
    [
      "grpc.ResizeVolumeRequest",
      { size: -1 },
      "range: grpc.ResizeVolumeRequest.size: -1 is not in the range of its type",
    ],
    [
      "grpc.ResizeVolumeRequest",
      { size: 2n ** 64n },
      "range: grpc.ResizeVolumeRequest.size: 18446744073709551616 is not in the range of its type",
    ],
    [
      "grpc.SetGuestDateTimeRequest",
      { Sec: 2n ** 63n },
      "range: grpc.SetGuestDateTimeRequest.Sec: 9223372036854775808 is not in the range of its type",
    ],
    [
      "grpc.ResizeVolumeRequest",
      { size: 2 ** 53 },
      "type: grpc.ResizeVolumeRequest.size: expected a 64-bit integer, got number",
    ],
    ["grpc.CreateSandboxRequest", { dns: "x" }, "type: grpc.CreateSandboxRequest.dns: expected a list, got string"],
    [
      "grpc.CreateSandboxRequest",
      { storages: [null] },
      "type: grpc.CreateSandboxRequest.storages: expected a message, got null",
    ],
    [
      "grpc.CreateContainerRequest",
      { OCI: [] },
      "type: grpc.CreateContainerRequest.OCI: expected a message, got a list",
    ],
    ["grpc.Spec", { Annotations: [] }, "type: grpc.Spec.Annotations: expected a map, got a list"],
    ["grpc.Spec", { Annotations: { a: null } }, "type: grpc.Spec.Annotations: expected a string, got null"],
    ["grpc.NoSuchMessage", {}, "unknown-type: no message type grpc.NoSuchMessage"],
    ["constructor", {}, "unknown-type: no message type constructor"],
  ])("%s %o", (type, value, text) => {
    expect(refusal(type, value)).toBe(text);
  });
});

it("a method's own functions use its types", () => {
  const { WaitProcess } = AgentService.methods;
  const request = WaitProcess.decodeRequest(WaitProcess.encodeRequest({ container_id: "c" }));
  expect(request).toEqual({ container_id: "c", exec_id: "" });
  expect(WaitProcess.decodeResponse(WaitProcess.encodeResponse({ status: 137 })).status).toBe(137);
});
