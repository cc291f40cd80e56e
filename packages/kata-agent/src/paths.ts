/** Where everything of a sandbox lives; a tmpfs of the guest (section 3). */
export const KATA_ROOT = "/run/kata-containers";

/** Where CopyFile may write (section 1.4). */
export const SHARED_ROOT: string = `${KATA_ROOT}/shared/containers`;

/** Folders of KATA_ROOT that are not a container's. A container must not take their names. */
export const RESERVED_NAMES: ReadonlySet<string> = new Set(["sandbox", "shared", "image"]);

/** The resolv.conf made from CreateSandbox's lines. */
export const SANDBOX_RESOLV_CONF: string = `${KATA_ROOT}/sandbox/resolv.conf`;

/** Bind mounts that keep the sandbox's ipc and uts namespaces (section 3.8). */
export const SANDBOX_NAMESPACES = "/run/sandbox-ns";

/** The pause image inside the guest image (section 3.5). */
export const PAUSE_BUNDLE = "/pause_bundle";

/** The folder of one container: config.json and rootfs. */
export function bundlePath(containerId: string, root: string = KATA_ROOT): string {
  return `${root}/${containerId}`;
}

/** What the agent keeps for itself, terminal sockets among it. Ours alone, on tmpfs. */
export const STATE_ROOT = "/run/kata-agent";

/** Scratch folders of containers. In a folder of their own: the host chooses their names. */
export const CONTAINER_STATE: string = `${STATE_ROOT}/containers`;

/** What the OCI runtime remembers about its containers. */
export const RUNTIME_STATE: string = `${STATE_ROOT}/runtime`;
