export { Code, codeName } from "./code.ts";
export { type ComponentLog, componentLog, LOG_LEVELS, type LogLevel } from "./component-log.ts";
export { decode, type DecodeOptions } from "./decode.ts";
export {
  enumValues,
  type FieldDescriptor,
  type MessageDescriptor,
  messageDescriptor,
  messageTypes,
  type ScalarType,
} from "./descriptor.ts";
export { encode } from "./encode.ts";
export { DecodeError, type DecodeErrorCode, EncodeError, JsonError } from "./error.ts";
export { fromJson } from "./from-json.ts";
export type * as appraisal from "./gen/appraisal.ts";
export type * as attestation from "./gen/attestation.ts";
export { FSGroupChangePolicy, IPFamily, RuntimeMeasurementResult, ServingStatus, Unit } from "./gen/enums.ts";
export type * as grpc from "./gen/grpc.ts";
export type * as hypervisor from "./gen/hypervisor.ts";
export type * as image from "./gen/image.ts";
export type * as keyprovider from "./gen/keyprovider.ts";
export type * as protobuf from "./gen/protobuf.ts";
export type * as reference from "./gen/reference.ts";
export {
  AgentService,
  AttestationAgentService,
  AttestationService,
  GetResourceService,
  Health,
  Hypervisor,
  ImagePullService,
  KeyProviderService,
  ReferenceValueProviderService,
  SealedSecretService,
  SecureMountService,
} from "./gen/services.ts";
export type * as status from "./gen/status.ts";
export type * as types from "./gen/types.ts";
export type { Init } from "./init.ts";
export { type KernelCommandLine, type KernelParameter, parseKernelCommandLine } from "./kernel-command-line.ts";
export { MAX_JSON_DEPTH, parseLossless, stringifyLossless } from "./lossless-json.ts";
export type { MethodDescriptor, ServiceDescriptor } from "./method.ts";
export { toJson } from "./to-json.ts";
export {
  formatTraceEvent,
  MAX_DETAIL_LENGTH,
  MAX_NAME_LENGTH,
  parseTraceEvent,
  type TraceEvent,
} from "./trace-event.ts";
export { TRACE_PARAMETER, Tracer, type TracerOptions, traceWanted } from "./tracer.ts";
