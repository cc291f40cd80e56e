import type { PolicyText } from "./template.ts";

/** What the rules in `rules/pod.rego` are told of a pod: the value of `policy_data`. Names are those of the rules. */
export interface PolicyData {
  readonly pod: {
    readonly name: PolicyText;
    readonly namespace: PolicyText;
    readonly hostname: PolicyText;
    /** Whether the hostname is the pod's name. */
    readonly named_by_itself: boolean;
    /** The sandbox's own. */
    readonly storages: readonly PolicyStorage[];
    /** Variables that any container may have beside its own. */
    readonly env: readonly PolicyText[];
    /** Paths at which CopyFile may write. */
    readonly files: readonly PolicyText[];
    /** Commands that may be run in any container. */
    readonly exec: ReadonlyArray<readonly string[]>;
    /** Whether the host may write to what is run in containers beside their own process. */
    readonly exec_stdin: boolean;
    /** Whether the host may read what containers write. */
    readonly logs: boolean;
    /** Signals that any process may be sent. */
    readonly signals: readonly number[];
  };
  readonly sandbox: PolicyPlace;
  /** By their names in the pod. */
  readonly containers: Readonly<Record<string, PolicyContainer>>;
}

/** What the sandbox's container and the pod's have in common: all but the process, which of the first is the guest's. */
export interface PolicyPlace {
  /** Empty for the sandbox's. */
  readonly name: string;
  /** Names of the image in requests. */
  readonly images: readonly string[];
  readonly shared_pid: boolean;
  readonly readonly_root: boolean;
  /** Mounts that must be there, by their places, and those that may, at other places. */
  readonly mounts: Readonly<Record<string, Omit<PolicyMount, "destination">>>;
  readonly further_mounts: readonly PolicyMount[];
  /** Storages beside that of the image; all must be there. */
  readonly storages: readonly PolicyStorage[];
  readonly masked_paths: readonly string[];
  readonly further_masked_paths: readonly PolicyText[];
  readonly readonly_paths: readonly string[];
  readonly sysctls: Readonly<Record<string, string>>;
  readonly further_sysctls: Readonly<Record<string, string>>;
}

/** One container: what a request for it must say, and what may be asked of it. */
export interface PolicyContainer extends PolicyPlace {
  /** What the image's name stood for when the policy was made. */
  readonly manifest_digests: readonly string[];
  /** Containers that must have been started, and those that must have ended, before this one is made. */
  readonly after: readonly string[];
  readonly after_end_of: readonly string[];
  /** Containers beside which it must not run. */
  readonly ends_before: readonly string[];
  readonly args: readonly PolicyText[];
  /** `NAME=value`, all that must be there. */
  readonly env: readonly string[];
  /** The same of those of which the host fills in a part. */
  readonly env_patterns: readonly PolicyText[];
  readonly cwd: PolicyText;
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly user: {
    readonly uid: number;
    readonly gid: number;
    /** One of these lists, in any order. */
    readonly groups: ReadonlyArray<readonly number[]>;
  };
  readonly no_new_privileges: boolean;
  readonly capabilities: readonly string[];
  readonly termination_log: string;
  /** Commands of probes and hooks. */
  readonly exec: ReadonlyArray<readonly PolicyText[]>;
  /** Signals beside the pod's. */
  readonly signals: readonly number[];
}

export interface PolicyMount {
  readonly destination: string;
  readonly type: string;
  readonly options: readonly string[];
  readonly source: PolicyText;
}

export interface PolicyStorage {
  readonly driver: string;
  readonly source: string;
  readonly fstype: string;
  readonly mount_point: PolicyText;
  readonly options: readonly string[];
  readonly further_options: readonly PolicyText[];
}
