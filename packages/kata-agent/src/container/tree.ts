import type { grpc } from "@nacre/protocols";

/** The parts of the message tree that describe a container; names are those of protos/oci. */
export type SpecTree = grpc.Spec;
export type ProcessTree = grpc.Process;
export type CapabilitiesTree = grpc.LinuxCapabilities;
export type LinuxTree = grpc.Linux;
export type ResourcesTree = grpc.LinuxResources;
export type SeccompTree = grpc.LinuxSeccomp;
