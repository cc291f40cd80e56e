import { fromJson, type grpc } from "@nacre/protocols";

/** Capabilities that containerd gives an ordinary container, shortened. */
export const CAPS = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID"];

export interface SpecParts {
  process?: object;
  linux?: object | null;
  rootfs?: string;
  other?: object;
}

/** A container's specification as the host's runtime sends it; parts replace members. */
export function specTree(parts: SpecParts = {}): grpc.Spec {
  return fromJson("grpc.Spec", {
    Version: "1.0.2",
    Process: {
      User: { UID: 0, GID: 0 },
      Args: ["true"],
      Env: ["PATH=/bin"],
      Cwd: "/",
      Capabilities: { Bounding: CAPS, Effective: CAPS, Permitted: CAPS },
      NoNewPrivileges: true,
      ...parts.process,
    },
    Root: { Path: parts.rootfs ?? "/run/kata-containers/c1/rootfs" },
    Mounts: [
      { destination: "/proc", source: "proc", type: "proc", options: ["nosuid", "noexec", "nodev"] },
      { destination: "/dev", source: "tmpfs", type: "tmpfs", options: ["nosuid", "strictatime", "mode=755"] },
      {
        destination: "/dev/pts",
        source: "devpts",
        type: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
      },
    ],
    ...(parts.linux === null
      ? {}
      : {
          Linux: {
            CgroupsPath: "/pod/c1",
            Namespaces: [{ Type: "ipc" }, { Type: "uts" }, { Type: "mount" }],
            ...parts.linux,
          },
        }),
    ...parts.other,
  }) as grpc.Spec;
}

/** A process for exec as the host's runtime sends it. */
export function processTree(json: object): grpc.Process {
  return fromJson("grpc.Process", { Args: ["true"], Env: ["PATH=/bin"], Cwd: "/", ...json }) as grpc.Process;
}
