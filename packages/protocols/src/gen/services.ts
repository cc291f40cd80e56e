// Generated from protos/ by scripts/generate.ts (make generate). Do not edit.

import { type MethodDescriptor, serviceDescriptor } from "../method.ts";
import type * as appraisal from "./appraisal.ts";
import type * as attestation from "./attestation.ts";
import type * as grpc from "./grpc.ts";
import type * as hypervisor from "./hypervisor.ts";
import type * as image from "./image.ts";
import type * as keyprovider from "./keyprovider.ts";
import type * as protobuf from "./protobuf.ts";
import type * as reference from "./reference.ts";
import type * as types from "./types.ts";

/** `api.GetResourceService` */
export const GetResourceService: {
  readonly name: "api.GetResourceService";
  readonly methods: {
    readonly GetResource: MethodDescriptor<image.GetResourceRequest, image.GetResourceResponse>;
  };
} = serviceDescriptor("api.GetResourceService");

/** `api.ImagePullService` */
export const ImagePullService: {
  readonly name: "api.ImagePullService";
  readonly methods: {
    readonly PullImage: MethodDescriptor<image.ImagePullRequest, image.ImagePullResponse>;
  };
} = serviceDescriptor("api.ImagePullService");

/** `api.SealedSecretService` */
export const SealedSecretService: {
  readonly name: "api.SealedSecretService";
  readonly methods: {
    readonly UnsealSecret: MethodDescriptor<image.UnsealSecretInput, image.UnsealSecretOutput>;
  };
} = serviceDescriptor("api.SealedSecretService");

/** `api.SecureMountService` */
export const SecureMountService: {
  readonly name: "api.SecureMountService";
  readonly methods: {
    readonly SecureMount: MethodDescriptor<image.SecureMountRequest, image.SecureMountResponse>;
  };
} = serviceDescriptor("api.SecureMountService");

/** `attestation.AttestationService` */
export const AttestationService: {
  readonly name: "attestation.AttestationService";
  readonly methods: {
    readonly AttestationEvaluate: MethodDescriptor<appraisal.AttestationRequest, appraisal.AttestationResponse>;
    readonly SetAttestationPolicy: MethodDescriptor<appraisal.SetPolicyRequest, appraisal.SetPolicyResponse>;
    readonly GetAttestationChallenge: MethodDescriptor<appraisal.ChallengeRequest, appraisal.ChallengeResponse>;
  };
} = serviceDescriptor("attestation.AttestationService");

/** `attestation_agent.AttestationAgentService` */
export const AttestationAgentService: {
  readonly name: "attestation_agent.AttestationAgentService";
  readonly methods: {
    readonly GetEvidence: MethodDescriptor<attestation.GetEvidenceRequest, attestation.GetEvidenceResponse>;
    readonly GetAdditionalEvidence: MethodDescriptor<attestation.GetAdditionalEvidenceRequest, attestation.GetEvidenceResponse>;
    readonly GetToken: MethodDescriptor<attestation.GetTokenRequest, attestation.GetTokenResponse>;
    readonly ExtendRuntimeMeasurement: MethodDescriptor<attestation.ExtendRuntimeMeasurementRequest, attestation.ExtendRuntimeMeasurementResponse>;
    readonly BindInitData: MethodDescriptor<attestation.BindInitDataRequest, attestation.BindInitDataResponse>;
    readonly GetTeeType: MethodDescriptor<attestation.GetTeeTypeRequest, attestation.GetTeeTypeResponse>;
    readonly GetAdditionalTees: MethodDescriptor<attestation.GetAdditionalTeesRequest, attestation.GetAdditionalTeesResponse>;
  };
} = serviceDescriptor("attestation_agent.AttestationAgentService");

/** `grpc.AgentService` */
export const AgentService: {
  readonly name: "grpc.AgentService";
  readonly methods: {
    readonly CreateContainer: MethodDescriptor<grpc.CreateContainerRequest, protobuf.Empty>;
    readonly StartContainer: MethodDescriptor<grpc.StartContainerRequest, protobuf.Empty>;
    readonly RemoveContainer: MethodDescriptor<grpc.RemoveContainerRequest, protobuf.Empty>;
    readonly ExecProcess: MethodDescriptor<grpc.ExecProcessRequest, protobuf.Empty>;
    readonly SignalProcess: MethodDescriptor<grpc.SignalProcessRequest, protobuf.Empty>;
    readonly WaitProcess: MethodDescriptor<grpc.WaitProcessRequest, grpc.WaitProcessResponse>;
    readonly UpdateContainer: MethodDescriptor<grpc.UpdateContainerRequest, protobuf.Empty>;
    readonly UpdateEphemeralMounts: MethodDescriptor<grpc.UpdateEphemeralMountsRequest, protobuf.Empty>;
    readonly StatsContainer: MethodDescriptor<grpc.StatsContainerRequest, grpc.StatsContainerResponse>;
    readonly PauseContainer: MethodDescriptor<grpc.PauseContainerRequest, protobuf.Empty>;
    readonly ResumeContainer: MethodDescriptor<grpc.ResumeContainerRequest, protobuf.Empty>;
    readonly RemoveStaleVirtiofsShareMounts: MethodDescriptor<grpc.RemoveStaleVirtiofsShareMountsRequest, protobuf.Empty>;
    readonly GetDiagnosticData: MethodDescriptor<grpc.GetDiagnosticDataRequest, grpc.GetDiagnosticDataResponse>;
    readonly WriteStdin: MethodDescriptor<grpc.WriteStreamRequest, grpc.WriteStreamResponse>;
    readonly ReadStdout: MethodDescriptor<grpc.ReadStreamRequest, grpc.ReadStreamResponse>;
    readonly ReadStderr: MethodDescriptor<grpc.ReadStreamRequest, grpc.ReadStreamResponse>;
    readonly CloseStdin: MethodDescriptor<grpc.CloseStdinRequest, protobuf.Empty>;
    readonly TtyWinResize: MethodDescriptor<grpc.TtyWinResizeRequest, protobuf.Empty>;
    readonly UpdateInterface: MethodDescriptor<grpc.UpdateInterfaceRequest, types.Interface>;
    readonly UpdateRoutes: MethodDescriptor<grpc.UpdateRoutesRequest, grpc.Routes>;
    readonly ListInterfaces: MethodDescriptor<grpc.ListInterfacesRequest, grpc.Interfaces>;
    readonly ListRoutes: MethodDescriptor<grpc.ListRoutesRequest, grpc.Routes>;
    readonly AddARPNeighbors: MethodDescriptor<grpc.AddARPNeighborsRequest, protobuf.Empty>;
    readonly GetIPTables: MethodDescriptor<grpc.GetIPTablesRequest, grpc.GetIPTablesResponse>;
    readonly SetIPTables: MethodDescriptor<grpc.SetIPTablesRequest, grpc.SetIPTablesResponse>;
    readonly GetMetrics: MethodDescriptor<grpc.GetMetricsRequest, grpc.Metrics>;
    readonly MemAgentMemcgSet: MethodDescriptor<grpc.MemAgentMemcgConfig, protobuf.Empty>;
    readonly MemAgentCompactSet: MethodDescriptor<grpc.MemAgentCompactConfig, protobuf.Empty>;
    readonly CreateSandbox: MethodDescriptor<grpc.CreateSandboxRequest, protobuf.Empty>;
    readonly DestroySandbox: MethodDescriptor<grpc.DestroySandboxRequest, protobuf.Empty>;
    readonly OnlineCPUMem: MethodDescriptor<grpc.OnlineCPUMemRequest, protobuf.Empty>;
    readonly ReseedRandomDev: MethodDescriptor<grpc.ReseedRandomDevRequest, protobuf.Empty>;
    readonly GetGuestDetails: MethodDescriptor<grpc.GuestDetailsRequest, grpc.GuestDetailsResponse>;
    readonly MemHotplugByProbe: MethodDescriptor<grpc.MemHotplugByProbeRequest, protobuf.Empty>;
    readonly SetGuestDateTime: MethodDescriptor<grpc.SetGuestDateTimeRequest, protobuf.Empty>;
    readonly CopyFile: MethodDescriptor<grpc.CopyFileRequest, protobuf.Empty>;
    readonly GetOOMEvent: MethodDescriptor<grpc.GetOOMEventRequest, grpc.OOMEvent>;
    readonly AddSwap: MethodDescriptor<grpc.AddSwapRequest, protobuf.Empty>;
    readonly AddSwapPath: MethodDescriptor<grpc.AddSwapPathRequest, protobuf.Empty>;
    readonly GetVolumeStats: MethodDescriptor<grpc.VolumeStatsRequest, grpc.VolumeStatsResponse>;
    readonly ResizeVolume: MethodDescriptor<grpc.ResizeVolumeRequest, protobuf.Empty>;
    readonly SetPolicy: MethodDescriptor<grpc.SetPolicyRequest, protobuf.Empty>;
  };
} = serviceDescriptor("grpc.AgentService");

/** `grpc.Health` */
export const Health: {
  readonly name: "grpc.Health";
  readonly methods: {
    readonly Check: MethodDescriptor<grpc.CheckRequest, grpc.HealthCheckResponse>;
    readonly Version: MethodDescriptor<grpc.CheckRequest, grpc.VersionCheckResponse>;
  };
} = serviceDescriptor("grpc.Health");

/** `hypervisor.Hypervisor` */
export const Hypervisor: {
  readonly name: "hypervisor.Hypervisor";
  readonly methods: {
    readonly CreateVM: MethodDescriptor<hypervisor.CreateVMRequest, hypervisor.CreateVMResponse>;
    readonly StartVM: MethodDescriptor<hypervisor.StartVMRequest, hypervisor.StartVMResponse>;
    readonly StopVM: MethodDescriptor<hypervisor.StopVMRequest, hypervisor.StopVMResponse>;
    readonly Version: MethodDescriptor<hypervisor.VersionRequest, hypervisor.VersionResponse>;
  };
} = serviceDescriptor("hypervisor.Hypervisor");

/** `keyprovider.KeyProviderService` */
export const KeyProviderService: {
  readonly name: "keyprovider.KeyProviderService";
  readonly methods: {
    readonly WrapKey: MethodDescriptor<keyprovider.KeyProviderKeyWrapProtocolInput, keyprovider.KeyProviderKeyWrapProtocolOutput>;
    readonly UnWrapKey: MethodDescriptor<keyprovider.KeyProviderKeyWrapProtocolInput, keyprovider.KeyProviderKeyWrapProtocolOutput>;
  };
} = serviceDescriptor("keyprovider.KeyProviderService");

/** `reference.ReferenceValueProviderService` */
export const ReferenceValueProviderService: {
  readonly name: "reference.ReferenceValueProviderService";
  readonly methods: {
    readonly QueryReferenceValue: MethodDescriptor<reference.ReferenceValueQueryRequest, reference.ReferenceValueQueryResponse>;
    readonly RegisterReferenceValue: MethodDescriptor<reference.ReferenceValueRegisterRequest, reference.ReferenceValueRegisterResponse>;
  };
} = serviceDescriptor("reference.ReferenceValueProviderService");
