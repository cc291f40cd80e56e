// Generated from protos/ by scripts/generate.ts (make generate). Do not edit.

/** The numbers of `attestation_agent.RuntimeMeasurementResult`. */
export const RuntimeMeasurementResult: { readonly OK: 0; readonly NOT_SUPPORTED: 1; readonly NOT_ENABLED: 2 } = { OK: 0, NOT_SUPPORTED: 1, NOT_ENABLED: 2 };
/** The numbers of `grpc.HealthCheckResponse.ServingStatus`. */
export const ServingStatus: { readonly UNKNOWN: 0; readonly SERVING: 1; readonly NOT_SERVING: 2 } = { UNKNOWN: 0, SERVING: 1, NOT_SERVING: 2 };
/** The numbers of `grpc.VolumeUsage.Unit`. */
export const Unit: { readonly UNKNOWN: 0; readonly BYTES: 1; readonly INODES: 2 } = { UNKNOWN: 0, BYTES: 1, INODES: 2 };
/** The numbers of `types.FSGroupChangePolicy`. */
export const FSGroupChangePolicy: { readonly Always: 0; readonly OnRootMismatch: 1 } = { Always: 0, OnRootMismatch: 1 };
/** The numbers of `types.IPFamily`. */
export const IPFamily: { readonly v4: 0; readonly v6: 1 } = { v4: 0, v6: 1 };
