import { describe, expect, it } from "vitest";
import { AgentService, Health, Hypervisor, ImagePullService, messageDescriptor } from "../src/index.ts";

describe("services", () => {
  it("have the published methods", () => {
    expect(Object.keys(AgentService.methods)).toHaveLength(42);
    expect(Object.keys(Health.methods)).toEqual(["Check", "Version"]);
    expect(Object.keys(ImagePullService.methods)).toEqual(["PullImage"]);
    expect(Object.keys(Hypervisor.methods)).toEqual(["CreateVM", "StartVM", "StopVM", "Version"]);
  });

  it("describe a method", () => {
    const { CreateContainer, ReadStderr } = AgentService.methods;
    expect(CreateContainer).toMatchObject({
      service: "grpc.AgentService",
      name: "CreateContainer",
      path: "/grpc.AgentService/CreateContainer",
      requestType: "grpc.CreateContainerRequest",
      responseType: "google.protobuf.Empty",
      requestStream: false,
      responseStream: false,
    });
    expect(ReadStderr.requestType).toBe("grpc.ReadStreamRequest");
    expect(Hypervisor.methods.CreateVM.path).toBe("/hypervisor.Hypervisor/CreateVM");
    expect(ImagePullService.methods.PullImage.path).toBe("/api.ImagePullService/PullImage");
  });
});

describe("messageDescriptor", () => {
  it("gives fields in number order with what a walker needs", () => {
    const field = (type: string, name: string): object => messageDescriptor(type).byName.get(name) ?? {};
    expect(messageDescriptor("grpc.Storage").fields.map((f) => `${f.number} ${f.name}`)).toEqual([
      "1 driver",
      "2 driver_options",
      "3 source",
      "4 fstype",
      "5 options",
      "6 mount_point",
      "7 fs_group",
      "8 shared",
    ]);
    expect(field("grpc.Storage", "options")).toMatchObject({ kind: "scalar", type: "string", repeated: true });
    expect(field("grpc.FSGroup", "group_change_policy")).toMatchObject({
      kind: "enum",
      type: "types.FSGroupChangePolicy",
    });
    expect(field("grpc.Spec", "Annotations")).toMatchObject({ kind: "map", type: "string", valueKind: "scalar" });
    expect(field("grpc.CgroupStats", "hugetlb_stats")).toMatchObject({
      kind: "map",
      type: "grpc.HugetlbStats",
      valueKind: "message",
    });
    expect(field("grpc.MemAgentMemcgConfig", "swap")).toMatchObject({ optional: true, oneof: undefined });
    expect(field("grpc.LinuxSyscall", "errnoret")).toMatchObject({ optional: true, oneof: "ErrnoRet" });
    expect(field("grpc.HealthCheckResponse", "status")).toMatchObject({
      type: "grpc.HealthCheckResponse.ServingStatus",
    });
  });
});
