import { describe, expect, it } from "vitest";
import { decode, encode, fromJson, JsonError, messageTypes, toJson } from "../src/index.ts";
import { Random, randomMessage } from "./random.ts";

/** The code and text of the JsonError for a value. */
function refusal(type: string, json: unknown): string {
  try {
    fromJson(type, json);
  } catch (error) {
    expect(error).toBeInstanceOf(JsonError);
    return `${(error as JsonError).code}: ${(error as JsonError).message}`;
  }
  throw new Error("nothing was refused");
}

describe("toJson and fromJson", () => {
  it("leave out defaults and keep what proto JSON keeps", () => {
    const message = fromJson("grpc.CopyFileRequest", { path: "p", file_size: "9223372036854775807", data: "AP8=" });
    expect(message).toEqual({
      path: "p",
      file_size: 2n ** 63n - 1n,
      file_mode: 0,
      dir_mode: 0,
      uid: 0,
      gid: 0,
      offset: 0n,
      data: Buffer.from([0, 255]),
    });
    expect(toJson("grpc.CopyFileRequest", message)).toEqual({
      path: "p",
      file_size: "9223372036854775807",
      data: "AP8=",
    });
  });

  it("name enums, and number those without a name", () => {
    expect(toJson("grpc.HealthCheckResponse", { status: 1 })).toEqual({ status: "SERVING" });
    expect(toJson("grpc.HealthCheckResponse", { status: 99 })).toEqual({ status: 99 });
    expect(fromJson("grpc.HealthCheckResponse", { status: "NOT_SERVING" })).toEqual({ status: 2 });
    expect(fromJson("grpc.HealthCheckResponse", { status: 99 })).toEqual({ status: 99 });
  });

  it("keep an explicit zero and an empty message", () => {
    const message = fromJson("grpc.MemAgentMemcgConfig", { disabled: false });
    expect(toJson("grpc.MemAgentMemcgConfig", message)).toEqual({ disabled: false });
    expect(toJson("grpc.CreateContainerRequest", fromJson("grpc.CreateContainerRequest", { OCI: {} }))).toEqual({
      OCI: {},
    });
  });

  it("take null for absent and every spelling of a 64-bit integer", () => {
    expect(fromJson("grpc.CreateContainerRequest", { OCI: null, devices: null })).toEqual(
      decode("grpc.CreateContainerRequest", new Uint8Array()),
    );
    for (const size of [7, 7n, "7"]) expect(fromJson("grpc.ResizeVolumeRequest", { size })).toMatchObject({ size: 7n });
  });

  it("keep the key __proto__ of a map", () => {
    const json: unknown = JSON.parse('{"Annotations":{"__proto__":"x"}}');
    expect(JSON.stringify(toJson("grpc.Spec", fromJson("grpc.Spec", json)))).toBe(JSON.stringify(json));
  });

  it("are each other's reverse for every type (seeded)", () => {
    for (const type of messageTypes()) {
      for (let seed = 1; seed <= 5; seed++) {
        const message = randomMessage(new Random(seed), type);
        const json: unknown = JSON.parse(JSON.stringify(toJson(type, message)));
        expect(fromJson(type, json), `${type} seed ${seed}`).toEqual(decode(type, encode(type, message)));
      }
    }
  });
});

describe("fromJson refuses", () => {
  it.each([
    [
      "grpc.StartContainerRequest",
      { containerId: "x" },
      'field: grpc.StartContainerRequest: no field "containerId" in grpc.StartContainerRequest',
    ],
    [
      "grpc.CreateContainerRequest",
      { OCI: { Process: { args: [] } } },
      'field: grpc.CreateContainerRequest.OCI.Process: no field "args" in grpc.Process',
    ],
    ["grpc.Spec", JSON.parse('{"__proto__":{}}'), 'field: grpc.Spec: no field "__proto__" in grpc.Spec'],
    [
      "grpc.StartContainerRequest",
      { container_id: 1 },
      "type: grpc.StartContainerRequest.container_id: expected a string, got number",
    ],
    [
      "grpc.CreateSandboxRequest",
      { storages: [{}, { options: "ro" }] },
      "type: grpc.CreateSandboxRequest.storages[1].options: expected a list, got string",
    ],
    [
      "grpc.CreateSandboxRequest",
      { dns: [null] },
      "type: grpc.CreateSandboxRequest.dns[0]: expected a string, got null",
    ],
    ["grpc.Spec", { Annotations: { a: 1 } }, 'type: grpc.Spec.Annotations["a"]: expected a string, got number'],
    ["grpc.Spec", { Annotations: [] }, "type: grpc.Spec.Annotations: expected an object, got a list"],
    ["grpc.Spec", "x", "type: grpc.Spec: expected an object, got string"],
    [
      "grpc.GetIPTablesRequest",
      { is_ipv6: "true" },
      "type: grpc.GetIPTablesRequest.is_ipv6: expected a boolean, got string",
    ],
    ["grpc.ReadStreamResponse", { data: "a b" }, "type: grpc.ReadStreamResponse.data: expected base64, got string"],
    [
      "grpc.ResizeVolumeRequest",
      { size: 2 ** 53 },
      "type: grpc.ResizeVolumeRequest.size: expected an exact integer, got number",
    ],
    [
      "grpc.ResizeVolumeRequest",
      { size: "1e3" },
      "type: grpc.ResizeVolumeRequest.size: expected an exact integer, got string",
    ],
    [
      "grpc.ResizeVolumeRequest",
      { size: 1.5 },
      "type: grpc.ResizeVolumeRequest.size: expected an exact integer, got number",
    ],
    [
      "grpc.ResizeVolumeRequest",
      { size: -1 },
      "range: grpc.ResizeVolumeRequest.size: -1 is not between 0 and 18446744073709551615",
    ],
    [
      "grpc.WriteStreamResponse",
      { len: 2 ** 32 },
      "range: grpc.WriteStreamResponse.len: 4294967296 is not between 0 and 4294967295",
    ],
    [
      "grpc.WaitProcessResponse",
      { status: 2 ** 31 },
      "range: grpc.WaitProcessResponse.status: 2147483648 is not between -2147483648 and 2147483647",
    ],
    [
      "grpc.HealthCheckResponse",
      { status: "toString" },
      'type: grpc.HealthCheckResponse.status: grpc.HealthCheckResponse.ServingStatus has no "toString"',
    ],
  ])("%s %j", (type, json, text) => {
    expect(refusal(type, json)).toBe(text);
  });
});
