import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { policyInput } from "@nacre/agent-policy";
import { decode, encode, fromJson, messageDescriptor, parseLossless } from "@nacre/protocols";
import { vectors } from "../setup/data.ts";

/**
 * Requests of real pods as a policy saw them, recorded with an older fork of the protocol. Each becomes a protobuf
 * message, goes over the wire, and must come back as the same policy input.
 */
type Json = Record<string, unknown>;

/** A field that the fork called something else. */
const ALIASES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "types.Interface": { pciPath: "devicePath" },
};

/** Fields that the fork, or the older of its recordings, did not have, with the value that such a request gives them. */
const ADDED: Readonly<Record<string, Json>> = {
  "grpc.CreateContainerRequest": { stdin_port: 0, stdout_port: 0, stderr_port: 0 },
  "grpc.ExecProcessRequest": { stdin_port: 0, stdout_port: 0, stderr_port: 0 },
  "grpc.Storage": { shared: false },
  "types.Route": { flags: 0, mtu: 0 },
};

/** One recorded line: a rule's name and its input. */
interface Recorded {
  readonly where: string;
  readonly rule: string;
  readonly input: Json;
}

const OWN = [
  '["ep":"UpdateInterfaceRequest",{"interface":{"device":"eth0","name":"eth0","IPAddresses":[{"family":1,"address":"fe80::1","mask":"64"}],"mtu":1500,"hwAddr":"02:00:00:00:00:01","pciPath":"","type_":"x","raw_flags":0}}],',
  '["ep":"CopyFileRequest",{"path":"/p","file_size":0,"file_mode":41471,"dir_mode":2147484136,"uid":0,"gid":0,"offset":0,"symlink_src":"..data/token"}],',
  '["ep":"UpdateEphemeralMountsRequest",{"storages":[{"driver":"ephemeral","driver_options":[],"source":"shm","fstype":"tmpfs","options":[],"mount_point":"/dev/shm","fs_group":{"group_id":1,"group_change_policy":1}}]}],',
];

function recorded(): readonly Recorded[] {
  const folder = vectors("requests");
  const files: (readonly [string, readonly string[]])[] =
    folder === undefined
      ? [["own", OWN]]
      : readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "utf8").split("\n")]);
  return files.flatMap(([name, lines]) =>
    lines.flatMap((line, i) => {
      const [, rule = "", input = ""] = /^\["ep":"(\w+)",(.*)\],?$/.exec(line.trim()) ?? [];
      if (rule === "" && line.trim() !== "") throw new Error(`${name}:${i + 1} is no recorded request`);
      // AllowRequestsFailingPolicy is a rule without a request; the engine asks it with {}.
      if (rule === "" || rule === "AllowRequestsFailingPolicy") return [];
      return [{ where: `${name}:${i + 1}`, rule, input: parseLossless(input) as Json }];
    }),
  );
}

/** Calls `visit` on each message in a policy input, outermost first. */
function walk(type: string, message: Json, visit: (type: string, message: Json) => void): void {
  visit(type, message);
  for (const field of messageDescriptor(type).fields) {
    const value = message[field.name];
    if (field.valueKind !== "message" || value === null || value === undefined) continue;
    const inner = (field.repeated ? value : field.kind === "map" ? Object.values(value) : [value]) as Json[];
    for (const one of inner) walk(field.type, one, visit);
  }
}

function rename(message: Json, from: string, to: string): void {
  if (!Object.hasOwn(message, from)) return;
  message[to] = message[from];
  delete message[from];
}

/** The recorded input as today's protocol has it. */
function modern(rule: string, input: Json): Json {
  const out = structuredClone(input);
  if (rule === "CopyFileRequest") {
    const target = out["symlink_src"];
    delete out["symlink_src"];
    const kind = Number(out["file_mode"]) & 0o170000;
    out["file_type"] = { 0o100000: "Regular", 0o040000: "Directory", 0o120000: "Symlink" }[kind] ?? "Unknown";
    out["symlink_target"] = kind === 0o120000 ? target : null;
    return out;
  }
  walk(`grpc.${rule}`, out, (type, message) => {
    for (const [old, name] of Object.entries(ALIASES[type] ?? {})) rename(message, old, name);
    for (const [name, value] of Object.entries(ADDED[type] ?? {})) {
      if (!Object.hasOwn(message, name)) message[name] = value;
    }
  });
  return out;
}

/** The message that gave an input: the keyword escape undone, and CopyFile's data put back. */
function message(rule: string, input: Json): object {
  const type = `grpc.${rule}`;
  const json = structuredClone(input);
  if (rule === "CopyFileRequest") {
    json["data"] = Buffer.from((json["symlink_target"] as string | null) ?? "").toString("base64");
    delete json["symlink_target"];
    delete json["file_type"];
  } else walk(type, json, (_, inner) => rename(inner, "type_", "type"));
  return fromJson(type, json);
}

describe("recorded policy inputs", () => {
  const all = recorded();

  it("are there", () => {
    expect(all.length).toBeGreaterThan(2);
  });

  it.each(all.map((r) => [r.where, r.rule, r] as const))("%s %s", (_where, _rule, { rule, input }) => {
    const want = modern(rule, input);
    const sent = encode(`grpc.${rule}`, message(rule, want));
    const text = policyInput({ requestType: `grpc.${rule}` }, decode(`grpc.${rule}`, sent));
    expect(parseLossless(text)).toEqual(want);
  });
});
