import { AgentService, decode, encode, fromJson, parseLossless, stringifyLossless } from "@nacre/protocols";
import { describe, expect, it } from "vitest";

import { policyInput, PolicyError } from "../src/index.ts";
import { randomMessage, seeded } from "./random-message.ts";

const { CreateContainer, CopyFile, MemAgentMemcgSet, MemHotplugByProbe, SetIPTables, UpdateInterface } =
  AgentService.methods;
const input = (method: { requestType: string }, json: object): string =>
  policyInput(method, fromJson(method.requestType, json));

describe("policyInput", () => {
  it("has every field with its default, absent messages as null", () => {
    expect(JSON.parse(input(CreateContainer, {}))).toEqual({
      OCI: null,
      container_id: "",
      devices: [],
      exec_id: "",
      sandbox_pidns: false,
      shared_mounts: [],
      stderr_port: 0,
      stdin_port: 0,
      stdout_port: 0,
      storages: [],
      string_user: null,
    });
  });

  it("writes bytes as integers, 64-bit numbers exactly, absent optional fields as null", () => {
    expect(input(SetIPTables, { data: "YQ==" })).toContain('"data":[97]');
    expect(input(MemHotplugByProbe, { memHotplugProbeAddr: ["18446744073709551615"] })).toBe(
      '{"memHotplugProbeAddr":[18446744073709551615]}',
    );
    expect(JSON.parse(input(MemAgentMemcgSet, { swap: false, period_secs: "7" }))).toEqual({
      disabled: null,
      eviction_psi_percent_limit: null,
      eviction_run_aging_count_min: null,
      period_psi_percent_limit: null,
      period_secs: 7,
      swap: false,
      swappiness_max: null,
    });
  });

  it("escapes the keyword type, not Type, and writes enums as integers", () => {
    const text = input(UpdateInterface, {
      interface: { type: "t", IPAddresses: [{ family: "v6", address: "::1", mask: "64" }] },
    });
    expect(text).toContain('"type_":"t"');
    expect(text).toContain('"family":1');
    const device = input(CreateContainer, {
      devices: [{ type: "blk" }],
      OCI: { Linux: { Devices: [{ Type: "c" }], Namespaces: [{ Type: "ipc" }] }, Mounts: [{ type: "bind" }] },
    });
    expect(device).toContain('"type_":"blk"');
    expect(device).toContain('"type_":"bind"');
    expect(device).toContain('"Type":"c"');
    expect(device).not.toContain('"type":');
  });

  it("keeps hostile map keys as what they are", () => {
    const message = fromJson("grpc.CreateContainerRequest", { OCI: {} }) as {
      OCI: { Annotations: Record<string, string> };
    };
    Object.defineProperty(message.OCI.Annotations, "__proto__", { value: "x", enumerable: true });
    message.OCI.Annotations['q"uote\n'] = "y";
    const text = policyInput(CreateContainer, message);
    expect(text).toContain('{"__proto__":"x","q\\"uote\\n":"y"}');
  });

  it.each([
    [0o040755, "Directory", null],
    [0o120777, "Symlink", "abc"],
    [0o100644, "Regular", null],
    [0o010644, "Unknown", null],
    [0o060644, "Unknown", null],
    [0, "Unknown", null],
  ])("gives CopyFile its own form: mode %o is %s", (file_mode, file_type, symlink_target) => {
    expect(JSON.parse(input(CopyFile, { path: "/p", file_mode, data: "YWJj" }))).toEqual({
      dir_mode: 0,
      file_mode,
      file_size: 0,
      file_type,
      gid: 0,
      offset: 0,
      path: "/p",
      symlink_target,
      uid: 0,
    });
  });

  it("refuses a link target that is not UTF-8", () => {
    expect(() => input(CopyFile, { file_mode: 0o120777, data: "/w==" })).toThrow(PolicyError);
  });

  it("has a oneof under its own name, the member's as a variant", () => {
    const OCI = { Linux: { Seccomp: { Syscalls: [{ Action: "a", errnoret: 5 }, { Action: "b" }] } } };
    const parsed = JSON.parse(input(CreateContainer, { OCI })) as Record<string, unknown>;
    expect(parsed).toHaveProperty("OCI.Linux.Seccomp.Syscalls", [
      { Action: "a", Args: [], ErrnoRet: { Errnoret: 5 }, Names: [] },
      { Action: "b", Args: [], ErrnoRet: null, Names: [] },
    ]);
  });

  it("is the same before and after the wire, for any message of any method (seeded)", () => {
    const random = seeded(0x5eed);
    const methods = Object.values(AgentService.methods).filter((method) => method !== CopyFile);
    for (let round = 0; round < 20; round += 1) {
      for (const { requestType } of methods) {
        const made = randomMessage(requestType, random);
        const received: object = decode(requestType, encode(requestType, made.message));
        const text = policyInput({ requestType }, received);
        expect(sorted(parseLossless(text)), requestType).toBe(sorted(lossless(made.input)));
      }
    }
  });

  it("is the same before and after the wire for CopyFile, which has no data in it (seeded)", () => {
    const random = seeded(0xc0b1);
    const kinds = { Regular: 0o100000, Directory: 0o040000, Symlink: 0o120000, Unknown: 0o060000 };
    const names = Object.keys(kinds) as Array<keyof typeof kinds>;
    for (let round = 0; round < 500; round += 1) {
      const { message, input: seen } = randomMessage(CopyFile.requestType, random);
      const kind = names[random(names.length)] ?? "Unknown";
      const text = ["..", "grün ✓ 🦀", '\u0000"\\', "\ufeff/a", ""][random(5)] ?? "";
      const file_mode = kinds[kind] + random(0o10000);
      const sent = { ...message, file_mode, data: Buffer.from(text) };
      const received: object = decode(CopyFile.requestType, encode(CopyFile.requestType, sent));
      const { data: _, ...rest } = seen;
      const expected = { ...rest, file_mode, file_type: kind, symlink_target: kind === "Symlink" ? text : null };
      expect(sorted(parseLossless(policyInput(CopyFile, received)))).toBe(sorted(lossless(expected)));
    }
  });

  it("knows every method's request", () => {
    for (const { requestType } of Object.values(AgentService.methods)) {
      expect(() => JSON.parse(input({ requestType }, {}))).not.toThrow();
    }
  });
});

/** Small bigints and numbers are the same number in JSON. */
function lossless(value: unknown): unknown {
  return parseLossless(stringifyLossless(value));
}

/** The text with the members of each object in order of their names. */
function sorted(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(sorted).join(",")}]`;
  if (typeof value !== "object" || value === null) return stringifyLossless(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, one]) => `${JSON.stringify(key)}:${sorted(one)}`).join(",")}}`;
}
