import { describe, expect, it } from "vitest";
import { decode, DecodeError, encode, type grpc } from "../src/index.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const start = (bytes: string): grpc.StartContainerRequest =>
  decode("grpc.StartContainerRequest", hex(bytes)) as grpc.StartContainerRequest;

/** The code and text of the DecodeError that `f` throws. */
function refusal(f: () => unknown): string {
  try {
    f();
  } catch (error) {
    expect(error).toBeInstanceOf(DecodeError);
    return `${(error as DecodeError).code}: ${(error as DecodeError).message}`;
  }
  throw new Error("nothing was refused");
}

describe("golden bytes", () => {
  // Tag 0x0a is field 1 as text, 0x10 field 2 as a number, worked out by hand from the encoding's rules.
  it.each([
    ["grpc.StartContainerRequest", "0a 03 61 62 63", { container_id: "abc" }],
    ["grpc.RemoveContainerRequest", "0a 01 61 10 ac 02", { container_id: "a", timeout: 300 }],
    ["grpc.WaitProcessResponse", "08 ff ff ff ff ff ff ff ff ff 01", { status: -1 }],
    ["grpc.HealthCheckResponse", "08 01", { status: 1 }],
    ["grpc.SetGuestDateTimeRequest", "08 80 80 80 80 80 80 80 80 80 01", { Sec: -(2n ** 63n), Usec: 0n }],
    ["grpc.ResizeVolumeRequest", "10 ff ff ff ff ff ff ff ff ff 01", { volume_guest_path: "", size: 2n ** 64n - 1n }],
    ["grpc.ReadStreamResponse", "0a 02 00 ff", { data: Buffer.from([0, 255]) }],
    ["grpc.AddSwapRequest", "0a 03 01 ac 02", { PCIPath: [1, 300] }],
    ["grpc.ReseedRandomDevRequest", "12 01 07", { data: Buffer.from([7]) }],
    [
      "api.ImagePullResponse",
      "0a 01 64 ca 3e 01 69",
      { manifest_digest: "d", index_digest: "i", config_digest: null, diff_ids: [] },
    ],
    [
      "grpc.UpdateRoutesRequest",
      "0a 07 0a 05 0a 01 2f 30 01",
      {
        routes: { Routes: [{ dest: "/", gateway: "", device: "", source: "", scope: 0, family: 1, flags: 0, mtu: 0 }] },
      },
    ],
    ["grpc.LinuxSyscall", "18 00", { Names: [], Action: "", errnoret: 0, Args: [] }],
    ["google.protobuf.Empty", "", {}],
  ])("%s %s", (type, bytes, message) => {
    expect(decode(type, hex(bytes))).toEqual(message);
    expect(Buffer.from(encode(type, message)).toString("hex")).toBe(bytes.replaceAll(" ", ""));
  });

  it("gives every field of an empty message", () => {
    expect(decode("grpc.Storage", hex(""))).toEqual({
      driver: "",
      driver_options: [],
      source: "",
      fstype: "",
      options: [],
      mount_point: "",
      fs_group: null,
      shared: false,
    });
    const spec = decode("grpc.Spec", hex("")) as grpc.Spec;
    expect(Object.getPrototypeOf(spec.Annotations)).toBeNull();
    expect(spec.Process).toBeNull();
  });

  it("tells an absent optional field from a zero", () => {
    const config = decode("grpc.MemAgentMemcgConfig", hex("08 00 20 00")) as grpc.MemAgentMemcgConfig;
    expect(config.disabled).toBe(false);
    expect(config.period_secs).toBe(0n);
    expect(config.swap).toBeNull();
  });
});

describe("refusals, with the Rust agent's texts", () => {
  it.each([
    ["ff ff ff ff ff", "varint: Incorrect varint"],
    ["0a 10 61 62 63", "eof: Unexpected EOF"],
    ["0a ff ff ff ff 0f", "eof: Unexpected EOF"],
    ["0a 02 fe ff", "utf8: Invalid UTF-8 sequence"],
    ["0a 03 ed a0 80", "utf8: Invalid UTF-8 sequence"],
    ["0a 02 c3", "eof: Unexpected EOF"],
    ["0a", "eof: Unexpected EOF"],
    ["80", "eof: Unexpected EOF"],
    ["02 00", "tag: Incorrect tag"],
    ["0e", "tag: Incorrect tag"],
    ["0c", "wire-type: Unexpected wire type"],
    ["10 ff ff ff ff ff ff ff ff ff 02", "varint: Incorrect varint"],
    ["1b 10 01", "eof: Unexpected EOF"],
    ["1b 02", "tag: Incorrect tag"],
    ["19 00", "eof: Unexpected EOF"],
    ["1d 00", "eof: Unexpected EOF"],
  ])("%s", (bytes, text) => {
    expect(refusal(() => start(bytes))).toBe(text);
  });

  it("long text that is not UTF-8, whole or at its end", () => {
    const long = Buffer.concat([hex("0a c8 01"), Buffer.alloc(200, 0x61)]);
    long[150] = 0xff;
    expect(refusal(() => decode("grpc.StartContainerRequest", long))).toBe("utf8: Invalid UTF-8 sequence");
    long[150] = 0x61;
    long[202] = 0xc3;
    expect(refusal(() => decode("grpc.StartContainerRequest", long))).toBe("utf8: Invalid UTF-8 sequence");
  });

  it("accepts a real U+FFFD and keeps a byte order mark", () => {
    expect(start("0a 06 ef bf bd ef bb bf").container_id).toBe("\ufffd\ufeff");
    const long = `\ufffd${"a".repeat(150)}`;
    expect(decode("grpc.StartContainerRequest", encode("grpc.StartContainerRequest", { container_id: long }))).toEqual({
      container_id: long,
    });
  });

  it("an int32 outside its range", () => {
    expect(refusal(() => decode("grpc.WaitProcessResponse", hex("08 80 80 80 80 08")))).toBe(
      "range: Value too large for i32: 2147483648",
    );
    expect(decode("grpc.WaitProcessResponse", hex("08 ff ff ff ff 07"))).toEqual({ status: 2 ** 31 - 1 });
  });

  it("a uint32 of more than 32 bits", () => {
    expect(refusal(() => decode("grpc.WriteStreamResponse", hex("08 80 80 80 80 10")))).toBe(
      "varint: Incorrect varint",
    );
  });

  it("a message that ends inside its parent", () => {
    expect(refusal(() => decode("grpc.UpdateRoutesRequest", hex("0a 05 0a 05 0a 01 2f")))).toBe("eof: Unexpected EOF");
    expect(refusal(() => decode("grpc.UpdateRoutesRequest", hex("0a 03 0a 05 0a 01 2f")))).toBe("eof: Unexpected EOF");
  });

  it("groups nested a hundred deep and more", () => {
    const nested = (n: number): Buffer => Buffer.concat([Buffer.alloc(n, 0x1b), Buffer.alloc(n, 0x1c)]);
    expect(decode("grpc.StartContainerRequest", nested(100))).toEqual({ container_id: "" });
    expect(refusal(() => decode("grpc.StartContainerRequest", nested(101)))).toBe("depth: Over recursion limit");
    expect(refusal(() => decode("grpc.StartContainerRequest", Buffer.alloc(1_000_000, 0x1b)))).toBe(
      "depth: Over recursion limit",
    );
  });

  it.each([
    ["empty messages", Buffer.alloc(2 * 262_145, Buffer.from([0x2a, 0x00])), "grpc.CreateContainerRequest"],
    ["empty strings", Buffer.alloc(2 * 262_145, Buffer.from([0x12, 0x00])), "grpc.CreateSandboxRequest"],
    ["map entries", Buffer.alloc(2 * 262_145, Buffer.from([0x3a, 0x00])), "grpc.Spec"],
    ["packed numbers", Buffer.concat([hex("0a 81 80 10"), Buffer.alloc(262_145, 1)]), "grpc.AddSwapRequest"],
    ["numbers one by one", Buffer.alloc(2 * 262_145, Buffer.from([0x08, 0x01])), "grpc.AddSwapRequest"],
    [
      "one message again and again",
      Buffer.alloc(2 * 262_145, Buffer.from([0x32, 0x00])),
      "grpc.CreateContainerRequest",
    ],
  ])("more values than memory should pay for: %s", (_, bytes, type) => {
    expect(refusal(() => decode(type, bytes))).toBe("size: message has more than 262144 values");
  });
});

describe("what is no error", () => {
  it("a wrong wire type is skipped like an unknown field", () => {
    expect(start("08 05")).toEqual({ container_id: "" });
    expect(start("0b 0c")).toEqual({ container_id: "" });
    expect(start("09 01 02 03 04 05 06 07 08")).toEqual({ container_id: "" });
    expect(start("0d 01 02 03 04 0a 01 61")).toEqual({ container_id: "a" });
  });

  it("unknown fields of every wire type are skipped and reported", () => {
    const unknown: string[] = [];
    const bytes = hex("08 05 9a 06 03 61 62 63 1b 10 01 1c 25 01 02 03 04 29 01 02 03 04 05 06 07 08 0a 01 61");
    const message = decode("grpc.StartContainerRequest", bytes, {
      onUnknown: (type, number, wire) => unknown.push(`${type} ${number} ${wire}`),
    });
    expect(message).toEqual({ container_id: "a" });
    const of = (text: string): string => `grpc.StartContainerRequest ${text}`;
    expect(unknown).toEqual([of("1 0"), of("99 2"), of("3 3"), of("4 5"), of("5 1")]);
  });

  it("the last of a repeated scalar wins, a repeated message is merged, lists are joined", () => {
    expect(start("0a 01 61 0a 01 62")).toEqual({ container_id: "b" });
    const user = decode(
      "grpc.ExecProcessRequest",
      hex("1a 06 0a 01 31 1a 01 61 1a 06 12 01 32 1a 01 62"),
    ) as grpc.ExecProcessRequest;
    expect(user.string_user).toEqual({ uid: "1", gid: "2", additionalGids: ["a", "b"] });
  });

  it("numbers packed, one by one, and both", () => {
    expect(decode("grpc.AddSwapRequest", hex("08 01 0a 02 02 03 08 04"))).toEqual({ PCIPath: [1, 2, 3, 4] });
    expect(decode("grpc.MemHotplugByProbeRequest", hex("0a 00"))).toEqual({ memHotplugProbeAddr: [] });
  });

  it("map entries without a key or a value, with unknown fields, and given twice", () => {
    const spec = decode(
      "grpc.Spec",
      hex("3a 00 3a 03 0a 01 61 3a 06 0a 01 62 12 01 31 3a 08 0a 01 62 12 01 32 18 07"),
    ) as grpc.Spec;
    expect({ ...spec.Annotations }).toEqual({ "": "", a: "", b: "2" });
    const stats = decode("grpc.CgroupStats", hex("2a 02 12 00 2a 03 0a 01 61")) as grpc.CgroupStats;
    const zero = { usage: 0n, max_usage: 0n, failcnt: 0n };
    expect({ ...stats.hugetlb_stats }).toEqual({ "": zero, a: zero });
    const memory = decode("grpc.MemoryStats", hex("32 05 0a 01 61 10 05 32 03 0a 01 62")) as grpc.MemoryStats;
    expect({ ...memory.stats }).toEqual({ a: 5n, b: 0n });
  });

  it("the keys __proto__ and constructor are keys", () => {
    const annotations = JSON.parse('{"__proto__":"p","constructor":"c"}') as Record<string, string>;
    const spec = decode("grpc.Spec", encode("grpc.Spec", { Annotations: annotations })) as grpc.Spec;
    expect(Object.entries(spec.Annotations)).toEqual([
      ["__proto__", "p"],
      ["constructor", "c"],
    ]);
    expect(({} as Record<string, unknown>)["p"]).toBeUndefined();
  });

  it("a bool is any varint that is not zero, and an unknown enum number is kept", () => {
    expect(decode("grpc.GetIPTablesRequest", hex("08 80 80 80 80 80 80 80 80 80 01"))).toEqual({ is_ipv6: true });
    expect(decode("grpc.HealthCheckResponse", hex("08 63"))).toEqual({ status: 99 });
  });
});

it("bytes are a view of the input", () => {
  const bytes = Uint8Array.from([0x0a, 2, 1, 2]);
  const { data } = decode("grpc.ReadStreamResponse", bytes) as grpc.ReadStreamResponse;
  bytes[2] = 9;
  expect([...data]).toEqual([9, 2]);
  expect(data.buffer).toBe(bytes.buffer);
});
