// Generated from protos/ by scripts/generate.ts (make generate). Do not edit.

/** `hypervisor.CreateVMRequest` */
export interface CreateVMRequest {
  id: string;
  annotations: Record<string, string>;
  networkNamespacePath: string;
}

/** `hypervisor.CreateVMResponse` */
export interface CreateVMResponse {
  agentSocketPath: string;
}

/** `hypervisor.StartVMRequest` */
export interface StartVMRequest {
  id: string;
}

/** `hypervisor.StartVMResponse` */
export interface StartVMResponse {
}

/** `hypervisor.StopVMRequest` */
export interface StopVMRequest {
  id: string;
}

/** `hypervisor.StopVMResponse` */
export interface StopVMResponse {
}

/** `hypervisor.VersionRequest` */
export interface VersionRequest {
  version: string;
}

/** `hypervisor.VersionResponse` */
export interface VersionResponse {
  version: string;
}
