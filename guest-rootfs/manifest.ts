import { join } from "node:path";

import { BUNDLES, ROOT } from "./paths.ts";
import { programPath } from "./programs.ts";
import type { Sources } from "./sources.ts";

export type Entry = Directory | Link | File | Text;

interface Common {
  readonly path: string;
}
export interface Directory extends Common {
  readonly type: "directory";
  readonly mode: number;
}
export interface Link extends Common {
  readonly type: "link";
  readonly target: string;
}
export interface File extends Common {
  readonly type: "file";
  readonly mode: number;
  /** A file of this machine: of the repository, of its build, or of an unpacked Debian package. */
  readonly source: string;
}
export interface Text extends Common {
  readonly type: "text";
  readonly mode: number;
  readonly content: string | Buffer;
}

export const directory = (path: string, mode = 0o755): Directory => ({ type: "directory", path, mode });
export const link = (path: string, target: string): Link => ({ type: "link", path, target });
export const text = (path: string, content: string | Buffer): Text => ({ type: "text", path, mode: 0o644, content });
export const program = (path: string, source: string): File => ({ type: "file", path, mode: 0o755, source });
export const data = (path: string, source: string): File => ({ type: "file", path, mode: 0o644, source });

/** A daemon's bundle and the name under which the rest of the guest knows it. */
const daemon = (name: string, path: string, bundle = name): readonly Entry[] => [
  program(`/usr/lib/nacre/${name}.mjs`, join(BUNDLES, `${bundle}.mjs`)),
  link(path, `${"../".repeat(path.split("/").length - 3)}lib/nacre/${name}.mjs`),
];

/** The bundle that is the guest's init: for a kernel of its own, or for namespaces of somebody else's. */
export type Init = "nvrc" | "nvrc-simulated";

const PAUSE_CONFIG = {
  ociVersion: "1.0.2",
  process: { user: { uid: 65535, gid: 65535 }, args: ["/pause"], env: ["PATH=/"], cwd: "/" },
  root: { path: "rootfs", readonly: true },
};

/**
 * Everything that the guest's root holds, by its path there. Owner is root everywhere. Shared libraries are not listed:
 * they follow from the programs. Debian merges /bin, /sbin and /lib into /usr, and so does the guest.
 */
export const manifest = (sources: Sources, init: Init): readonly Entry[] => [
  // Mount points, and folders that hold nothing at first.
  ...["/dev", "/proc", "/run", "/sys", "/etc", "/usr", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64"].map((path) =>
    directory(path),
  ),
  ...["/usr/local", "/usr/local/bin", "/usr/lib/nacre", "/var", "/var/lib", "/mnt", "/opt", "/srv"].map((path) =>
    directory(path),
  ),
  directory("/tmp", 0o1777),
  directory("/root", 0o700),
  link("/bin", "usr/bin"),
  link("/sbin", "usr/sbin"),
  link("/lib", "usr/lib"),
  link("/lib64", "usr/lib64"),
  link("/var/run", "../run"),

  // The one interpreter, and what it runs.
  program("/usr/bin/node", programPath("node", sources.arch)),
  ...daemon("nvrc", "/usr/sbin/nvrc", init),
  ...daemon("kata-agent", "/usr/bin/kata-agent"),
  ...daemon("confidential-data-hub", "/usr/local/bin/confidential-data-hub"),
  data("/usr/lib/nacre/unpack-worker.mjs", join(BUNDLES, "unpack-worker.mjs")),
  data("/usr/lib/nacre/inspector-relay.mjs", join(BUNDLES, "inspector-relay.mjs")),
  data("/usr/lib/nacre/koffi.node", join(BUNDLES, "koffi.node")),
  data("/usr/lib/nacre/regorus.wasm", join(BUNDLES, "regorus.wasm")),

  // Containers. crun is what the image will have; runc is the default where control groups are of version 1.
  program("/usr/sbin/runc", sources.file("runc", "/usr/sbin/runc")),
  program("/usr/bin/crun", sources.file("crun", "/usr/bin/crun")),
  directory("/pause_bundle"),
  directory("/pause_bundle/rootfs"),
  program("/pause_bundle/rootfs/pause", programPath("pause", sources.arch)),
  text("/pause_bundle/config.json", `${JSON.stringify(PAUSE_CONFIG)}\n`),

  // Measured configuration.
  directory("/etc/kata-opa"),
  data("/etc/kata-opa/default-policy.rego", join(ROOT, "guest-rootfs/policies/allow-all.rego")),
  directory("/etc/ssl"),
  directory("/etc/ssl/certs"),
  text("/etc/ssl/certs/ca-certificates.crt", sources.certificates()),
  text("/etc/passwd", "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"),
  text("/etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"),
  text("/etc/hostname", "nacre\n"),
  text("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
  text("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
  // A target for bind mounts; the guest has no name server of its own.
  text("/etc/resolv.conf", ""),
  text("/etc/os-release", 'NAME="Nacre guest"\nID=nacre\nVERSION_ID="0.1.0"\n'),
];
