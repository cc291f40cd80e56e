// Generated from protos/ by scripts/generate.ts (make generate). Do not edit.

import type * as types from "./types.ts";

/** `grpc.HealthCheckResponse.ServingStatus`: 0 UNKNOWN, 1 SERVING, 2 NOT_SERVING; a number that is none of these is kept. */
export type HealthCheckResponse_ServingStatus = number;

/** `grpc.VolumeUsage.Unit`: 0 UNKNOWN, 1 BYTES, 2 INODES; a number that is none of these is kept. */
export type VolumeUsage_Unit = number;

/** `grpc.ARPNeighbors` */
export interface ARPNeighbors {
  ARPNeighbors: types.ARPNeighbor[];
}

/** `grpc.AddARPNeighborsRequest` */
export interface AddARPNeighborsRequest {
  neighbors: ARPNeighbors | null;
}

/** `grpc.AddSwapPathRequest` */
export interface AddSwapPathRequest {
  path: string;
}

/** `grpc.AddSwapRequest` */
export interface AddSwapRequest {
  PCIPath: number[];
}

/** `grpc.AgentDetails` */
export interface AgentDetails {
  version: string;
  init_daemon: boolean;
  device_handlers: string[];
  storage_handlers: string[];
  supports_seccomp: boolean;
  extra_features: string[];
}

/** `grpc.BlkioStats` */
export interface BlkioStats {
  io_service_bytes_recursive: BlkioStatsEntry[];
  io_serviced_recursive: BlkioStatsEntry[];
  io_queued_recursive: BlkioStatsEntry[];
  io_service_time_recursive: BlkioStatsEntry[];
  io_wait_time_recursive: BlkioStatsEntry[];
  io_merged_recursive: BlkioStatsEntry[];
  io_time_recursive: BlkioStatsEntry[];
  sectors_recursive: BlkioStatsEntry[];
}

/** `grpc.BlkioStatsEntry` */
export interface BlkioStatsEntry {
  major: bigint;
  minor: bigint;
  op: string;
  value: bigint;
}

/** `grpc.Box` */
export interface Box {
  Height: number;
  Width: number;
}

/** `grpc.CgroupStats` */
export interface CgroupStats {
  cpu_stats: CpuStats | null;
  memory_stats: MemoryStats | null;
  pids_stats: PidsStats | null;
  blkio_stats: BlkioStats | null;
  hugetlb_stats: Record<string, HugetlbStats>;
}

/** `grpc.CheckRequest` */
export interface CheckRequest {
  service: string;
}

/** `grpc.CloseStdinRequest` */
export interface CloseStdinRequest {
  container_id: string;
  exec_id: string;
}

/** `grpc.CopyFileRequest` */
export interface CopyFileRequest {
  path: string;
  file_size: bigint;
  file_mode: number;
  dir_mode: number;
  uid: number;
  gid: number;
  offset: bigint;
  data: Uint8Array;
}

/** `grpc.CpuStats` */
export interface CpuStats {
  cpu_usage: CpuUsage | null;
  throttling_data: ThrottlingData | null;
}

/** `grpc.CpuUsage` */
export interface CpuUsage {
  total_usage: bigint;
  percpu_usage: bigint[];
  usage_in_kernelmode: bigint;
  usage_in_usermode: bigint;
}

/** `grpc.CreateContainerRequest` */
export interface CreateContainerRequest {
  container_id: string;
  exec_id: string;
  string_user: StringUser | null;
  devices: Device[];
  storages: Storage[];
  OCI: Spec | null;
  sandbox_pidns: boolean;
  shared_mounts: SharedMount[];
  stdin_port: number;
  stdout_port: number;
  stderr_port: number;
}

/** `grpc.CreateSandboxRequest` */
export interface CreateSandboxRequest {
  hostname: string;
  dns: string[];
  storages: Storage[];
  sandbox_pidns: boolean;
  sandbox_id: string;
  guest_hook_path: string;
  kernel_modules: KernelModule[];
}

/** `grpc.DestroySandboxRequest` */
export interface DestroySandboxRequest {
}

/** `grpc.Device` */
export interface Device {
  id: string;
  type: string;
  vm_path: string;
  container_path: string;
  options: string[];
}

/** `grpc.ExecProcessRequest` */
export interface ExecProcessRequest {
  container_id: string;
  exec_id: string;
  string_user: StringUser | null;
  process: Process | null;
  stdin_port: number;
  stdout_port: number;
  stderr_port: number;
}

/** `grpc.FSGroup` */
export interface FSGroup {
  group_id: number;
  group_change_policy: types.FSGroupChangePolicy;
}

/** `grpc.GetDiagnosticDataRequest` */
export interface GetDiagnosticDataRequest {
  log_type: string;
  container_id: string;
}

/** `grpc.GetDiagnosticDataResponse` */
export interface GetDiagnosticDataResponse {
  data: string;
}

/** `grpc.GetIPTablesRequest` */
export interface GetIPTablesRequest {
  is_ipv6: boolean;
}

/** `grpc.GetIPTablesResponse` */
export interface GetIPTablesResponse {
  data: Uint8Array;
}

/** `grpc.GetMetricsRequest` */
export interface GetMetricsRequest {
}

/** `grpc.GetOOMEventRequest` */
export interface GetOOMEventRequest {
}

/** `grpc.GuestDetailsRequest` */
export interface GuestDetailsRequest {
  mem_block_size: boolean;
  mem_hotplug_probe: boolean;
}

/** `grpc.GuestDetailsResponse` */
export interface GuestDetailsResponse {
  mem_block_size_bytes: bigint;
  agent_details: AgentDetails | null;
  support_mem_hotplug_probe: boolean;
}

/** `grpc.HealthCheckResponse` */
export interface HealthCheckResponse {
  status: HealthCheckResponse_ServingStatus;
}

/** `grpc.Hook` */
export interface Hook {
  Path: string;
  Args: string[];
  Env: string[];
  Timeout: bigint;
}

/** `grpc.Hooks` */
export interface Hooks {
  Prestart: Hook[];
  Poststart: Hook[];
  Poststop: Hook[];
  CreateRuntime: Hook[];
  CreateContainer: Hook[];
  StartContainer: Hook[];
}

/** `grpc.HugetlbStats` */
export interface HugetlbStats {
  usage: bigint;
  max_usage: bigint;
  failcnt: bigint;
}

/** `grpc.Interfaces` */
export interface Interfaces {
  Interfaces: types.Interface[];
}

/** `grpc.KernelModule` */
export interface KernelModule {
  name: string;
  parameters: string[];
}

/** `grpc.Linux` */
export interface Linux {
  UIDMappings: LinuxIDMapping[];
  GIDMappings: LinuxIDMapping[];
  Sysctl: Record<string, string>;
  Resources: LinuxResources | null;
  CgroupsPath: string;
  Namespaces: LinuxNamespace[];
  Devices: LinuxDevice[];
  Seccomp: LinuxSeccomp | null;
  RootfsPropagation: string;
  MaskedPaths: string[];
  ReadonlyPaths: string[];
  MountLabel: string;
  IntelRdt: LinuxIntelRdt | null;
}

/** `grpc.LinuxBlockIO` */
export interface LinuxBlockIO {
  Weight: number;
  LeafWeight: number;
  WeightDevice: LinuxWeightDevice[];
  ThrottleReadBpsDevice: LinuxThrottleDevice[];
  ThrottleWriteBpsDevice: LinuxThrottleDevice[];
  ThrottleReadIOPSDevice: LinuxThrottleDevice[];
  ThrottleWriteIOPSDevice: LinuxThrottleDevice[];
}

/** `grpc.LinuxCPU` */
export interface LinuxCPU {
  Shares: bigint;
  Quota: bigint;
  Period: bigint;
  RealtimeRuntime: bigint;
  RealtimePeriod: bigint;
  Cpus: string;
  Mems: string;
}

/** `grpc.LinuxCapabilities` */
export interface LinuxCapabilities {
  Bounding: string[];
  Effective: string[];
  Inheritable: string[];
  Permitted: string[];
  Ambient: string[];
}

/** `grpc.LinuxDevice` */
export interface LinuxDevice {
  Path: string;
  Type: string;
  Major: bigint;
  Minor: bigint;
  FileMode: number;
  UID: number;
  GID: number;
}

/** `grpc.LinuxDeviceCgroup` */
export interface LinuxDeviceCgroup {
  Allow: boolean;
  Type: string;
  Major: bigint;
  Minor: bigint;
  Access: string;
}

/** `grpc.LinuxHugepageLimit` */
export interface LinuxHugepageLimit {
  Pagesize: string;
  Limit: bigint;
}

/** `grpc.LinuxIDMapping` */
export interface LinuxIDMapping {
  HostID: number;
  ContainerID: number;
  Size: number;
}

/** `grpc.LinuxIntelRdt` */
export interface LinuxIntelRdt {
  L3CacheSchema: string;
}

/** `grpc.LinuxInterfacePriority` */
export interface LinuxInterfacePriority {
  Name: string;
  Priority: number;
}

/** `grpc.LinuxMemory` */
export interface LinuxMemory {
  Limit: bigint;
  Reservation: bigint;
  Swap: bigint;
  Kernel: bigint;
  KernelTCP: bigint;
  Swappiness: bigint;
  DisableOOMKiller: boolean;
}

/** `grpc.LinuxNamespace` */
export interface LinuxNamespace {
  Type: string;
  Path: string;
}

/** `grpc.LinuxNetwork` */
export interface LinuxNetwork {
  ClassID: number;
  Priorities: LinuxInterfacePriority[];
}

/** `grpc.LinuxPids` */
export interface LinuxPids {
  Limit: bigint;
}

/** `grpc.LinuxResources` */
export interface LinuxResources {
  Devices: LinuxDeviceCgroup[];
  Memory: LinuxMemory | null;
  CPU: LinuxCPU | null;
  Pids: LinuxPids | null;
  BlockIO: LinuxBlockIO | null;
  HugepageLimits: LinuxHugepageLimit[];
  Network: LinuxNetwork | null;
}

/** `grpc.LinuxSeccomp` */
export interface LinuxSeccomp {
  DefaultAction: string;
  Architectures: string[];
  Flags: string[];
  Syscalls: LinuxSyscall[];
}

/** `grpc.LinuxSeccompArg` */
export interface LinuxSeccompArg {
  Index: bigint;
  Value: bigint;
  ValueTwo: bigint;
  Op: string;
}

/** `grpc.LinuxSyscall` */
export interface LinuxSyscall {
  Names: string[];
  Action: string;
  errnoret: number | null;
  Args: LinuxSeccompArg[];
}

/** `grpc.LinuxThrottleDevice` */
export interface LinuxThrottleDevice {
  Major: bigint;
  Minor: bigint;
  Rate: bigint;
}

/** `grpc.LinuxWeightDevice` */
export interface LinuxWeightDevice {
  Major: bigint;
  Minor: bigint;
  Weight: number;
  LeafWeight: number;
}

/** `grpc.ListInterfacesRequest` */
export interface ListInterfacesRequest {
}

/** `grpc.ListRoutesRequest` */
export interface ListRoutesRequest {
}

/** `grpc.MemAgentCompactConfig` */
export interface MemAgentCompactConfig {
  disabled: boolean | null;
  period_secs: bigint | null;
  period_psi_percent_limit: number | null;
  compact_psi_percent_limit: number | null;
  compact_sec_max: bigint | null;
  compact_order: number | null;
  compact_threshold: bigint | null;
  compact_force_times: bigint | null;
}

/** `grpc.MemAgentMemcgConfig` */
export interface MemAgentMemcgConfig {
  disabled: boolean | null;
  swap: boolean | null;
  swappiness_max: number | null;
  period_secs: bigint | null;
  period_psi_percent_limit: number | null;
  eviction_psi_percent_limit: number | null;
  eviction_run_aging_count_min: bigint | null;
}

/** `grpc.MemHotplugByProbeRequest` */
export interface MemHotplugByProbeRequest {
  memHotplugProbeAddr: bigint[];
}

/** `grpc.MemoryData` */
export interface MemoryData {
  usage: bigint;
  max_usage: bigint;
  failcnt: bigint;
  limit: bigint;
}

/** `grpc.MemoryStats` */
export interface MemoryStats {
  cache: bigint;
  usage: MemoryData | null;
  swap_usage: MemoryData | null;
  kernel_usage: MemoryData | null;
  use_hierarchy: boolean;
  stats: Record<string, bigint>;
}

/** `grpc.Metrics` */
export interface Metrics {
  metrics: string;
}

/** `grpc.Mount` */
export interface Mount {
  destination: string;
  source: string;
  type: string;
  options: string[];
}

/** `grpc.NetworkStats` */
export interface NetworkStats {
  name: string;
  rx_bytes: bigint;
  rx_packets: bigint;
  rx_errors: bigint;
  rx_dropped: bigint;
  tx_bytes: bigint;
  tx_packets: bigint;
  tx_errors: bigint;
  tx_dropped: bigint;
}

/** `grpc.OOMEvent` */
export interface OOMEvent {
  container_id: string;
}

/** `grpc.OnlineCPUMemRequest` */
export interface OnlineCPUMemRequest {
  wait: boolean;
  nb_cpus: number;
  cpu_only: boolean;
}

/** `grpc.POSIXRlimit` */
export interface POSIXRlimit {
  Type: string;
  Hard: bigint;
  Soft: bigint;
}

/** `grpc.PauseContainerRequest` */
export interface PauseContainerRequest {
  container_id: string;
}

/** `grpc.PidsStats` */
export interface PidsStats {
  current: bigint;
  limit: bigint;
}

/** `grpc.Process` */
export interface Process {
  Terminal: boolean;
  ConsoleSize: Box | null;
  User: User | null;
  Args: string[];
  Env: string[];
  Cwd: string;
  Capabilities: LinuxCapabilities | null;
  Rlimits: POSIXRlimit[];
  NoNewPrivileges: boolean;
  ApparmorProfile: string;
  OOMScoreAdj: bigint;
  SelinuxLabel: string;
}

/** `grpc.ReadStreamRequest` */
export interface ReadStreamRequest {
  container_id: string;
  exec_id: string;
  len: number;
}

/** `grpc.ReadStreamResponse` */
export interface ReadStreamResponse {
  data: Uint8Array;
}

/** `grpc.RemoveContainerRequest` */
export interface RemoveContainerRequest {
  container_id: string;
  timeout: number;
}

/** `grpc.RemoveStaleVirtiofsShareMountsRequest` */
export interface RemoveStaleVirtiofsShareMountsRequest {
}

/** `grpc.ReseedRandomDevRequest` */
export interface ReseedRandomDevRequest {
  data: Uint8Array;
}

/** `grpc.ResizeVolumeRequest` */
export interface ResizeVolumeRequest {
  volume_guest_path: string;
  size: bigint;
}

/** `grpc.ResumeContainerRequest` */
export interface ResumeContainerRequest {
  container_id: string;
}

/** `grpc.Root` */
export interface Root {
  Path: string;
  Readonly: boolean;
}

/** `grpc.Routes` */
export interface Routes {
  Routes: types.Route[];
}

/** `grpc.SetGuestDateTimeRequest` */
export interface SetGuestDateTimeRequest {
  Sec: bigint;
  Usec: bigint;
}

/** `grpc.SetIPTablesRequest` */
export interface SetIPTablesRequest {
  is_ipv6: boolean;
  data: Uint8Array;
}

/** `grpc.SetIPTablesResponse` */
export interface SetIPTablesResponse {
  data: Uint8Array;
}

/** `grpc.SetPolicyRequest` */
export interface SetPolicyRequest {
  policy: string;
}

/** `grpc.SharedMount` */
export interface SharedMount {
  name: string;
  src_ctr: string;
  src_path: string;
  dst_ctr: string;
  dst_path: string;
}

/** `grpc.SignalProcessRequest` */
export interface SignalProcessRequest {
  container_id: string;
  exec_id: string;
  signal: number;
}

/** `grpc.Solaris` */
export interface Solaris {
  dummy: string;
}

/** `grpc.Spec` */
export interface Spec {
  Version: string;
  Process: Process | null;
  Root: Root | null;
  Hostname: string;
  Mounts: Mount[];
  Hooks: Hooks | null;
  Annotations: Record<string, string>;
  Linux: Linux | null;
  Solaris: Solaris | null;
  Windows: Windows | null;
}

/** `grpc.StartContainerRequest` */
export interface StartContainerRequest {
  container_id: string;
}

/** `grpc.StatsContainerRequest` */
export interface StatsContainerRequest {
  container_id: string;
}

/** `grpc.StatsContainerResponse` */
export interface StatsContainerResponse {
  cgroup_stats: CgroupStats | null;
  network_stats: NetworkStats[];
}

/** `grpc.Storage` */
export interface Storage {
  driver: string;
  driver_options: string[];
  source: string;
  fstype: string;
  options: string[];
  mount_point: string;
  fs_group: FSGroup | null;
  shared: boolean;
}

/** `grpc.StringUser` */
export interface StringUser {
  uid: string;
  gid: string;
  additionalGids: string[];
}

/** `grpc.ThrottlingData` */
export interface ThrottlingData {
  periods: bigint;
  throttled_periods: bigint;
  throttled_time: bigint;
}

/** `grpc.TtyWinResizeRequest` */
export interface TtyWinResizeRequest {
  container_id: string;
  exec_id: string;
  row: number;
  column: number;
}

/** `grpc.UpdateContainerRequest` */
export interface UpdateContainerRequest {
  container_id: string;
  resources: LinuxResources | null;
}

/** `grpc.UpdateEphemeralMountsRequest` */
export interface UpdateEphemeralMountsRequest {
  storages: Storage[];
}

/** `grpc.UpdateInterfaceRequest` */
export interface UpdateInterfaceRequest {
  interface: types.Interface | null;
}

/** `grpc.UpdateRoutesRequest` */
export interface UpdateRoutesRequest {
  routes: Routes | null;
}

/** `grpc.User` */
export interface User {
  UID: number;
  GID: number;
  AdditionalGids: number[];
  Username: string;
}

/** `grpc.VersionCheckResponse` */
export interface VersionCheckResponse {
  grpc_version: string;
  agent_version: string;
}

/** `grpc.VolumeCondition` */
export interface VolumeCondition {
  abnormal: boolean;
  message: string;
}

/** `grpc.VolumeStatsRequest` */
export interface VolumeStatsRequest {
  volume_guest_path: string;
}

/** `grpc.VolumeStatsResponse` */
export interface VolumeStatsResponse {
  usage: VolumeUsage[];
  volume_condition: VolumeCondition | null;
}

/** `grpc.VolumeUsage` */
export interface VolumeUsage {
  available: bigint;
  total: bigint;
  used: bigint;
  unit: VolumeUsage_Unit;
}

/** `grpc.WaitProcessRequest` */
export interface WaitProcessRequest {
  container_id: string;
  exec_id: string;
}

/** `grpc.WaitProcessResponse` */
export interface WaitProcessResponse {
  status: number;
}

/** `grpc.Windows` */
export interface Windows {
  dummy: string;
}

/** `grpc.WriteStreamRequest` */
export interface WriteStreamRequest {
  container_id: string;
  exec_id: string;
  data: Uint8Array;
}

/** `grpc.WriteStreamResponse` */
export interface WriteStreamResponse {
  len: number;
}
