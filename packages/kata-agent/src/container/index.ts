export { parseCgroupMounts, type CgroupLayout } from "./cgroup-layout.ts";
export type { CgroupStatistics } from "./cgroup-stats.ts";
export { checkContainerId, runtimeId } from "./container-id.ts";
export { Container, type ContainerState } from "./container.ts";
export { describeErrno, errnoCode } from "./errno.ts";
export { ContainerManager, type ContainerManagerOptions, type CreateOptions } from "./manager.ts";
export { Mutex } from "./mutex.ts";
export type { JoinedNamespaces } from "./oci-spec.ts";
export type {
  ByteSink,
  ByteSource,
  ExitWatcher,
  IoFactory,
  OomWatch,
  PreparedIo,
  ProcessHandle,
  ProcessPort,
  ProcessStreams,
} from "./ports.ts";
export { Process } from "./process.ts";
export { OciRuntime, type OciRuntimeOptions } from "./runtime.ts";
export { systemContainerPorts } from "./system-ports.ts";
