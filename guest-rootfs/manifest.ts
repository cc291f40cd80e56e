import { join } from "node:path";

import { SIMULATED_GUEST } from "../packages/kata-sys-util/src/simulated-guest.ts";

import type { Arch } from "./arch.ts";
import { bundlesOf, DEFAULT_POLICY, type Flavour } from "./flavour.ts";
import { koffiModule } from "./npm-package.ts";
import { npmSource, OWN_ORIGIN, own, type Source } from "./origin.ts";
import { ROOT } from "./paths.ts";
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
  readonly source: Source;
}
export interface Text extends Common {
  readonly type: "text";
  readonly mode: number;
  readonly content: string | Buffer;
  readonly origin: string;
}

export const directory = (path: string, mode = 0o755): Directory => ({ type: "directory", path, mode });
export const link = (path: string, target: string): Link => ({ type: "link", path, target });
export const text = (path: string, content: string | Buffer, origin = OWN_ORIGIN): Text => ({
  type: "text",
  path,
  mode: 0o644,
  content,
  origin,
});
export const program = (path: string, source: Source): File => ({ type: "file", path, mode: 0o755, source });
export const data = (path: string, source: Source): File => ({ type: "file", path, mode: 0o644, source });

/** A daemon's bundle and the name under which the rest of the guest knows it. */
const daemon = (name: string, path: string, bundle: string): readonly Entry[] => [
  program(`/usr/lib/nacre/${name}.mjs`, own(bundle)),
  link(path, `${"../".repeat(path.split("/").length - 3)}lib/nacre/${name}.mjs`),
];

/** The bundle that is the guest's init: for a kernel of its own, or for namespaces of somebody else's. */
export type Init = "nvrc" | "nvrc-simulated";

export const OS_RELEASE = 'NAME="Nacre guest"\nID=nacre\nVERSION_ID="0.1.0"\n';

const PAUSE_CONFIG = {
  ociVersion: "1.0.2",
  process: { user: { uid: 65535, gid: 65535 }, args: ["/pause"], env: ["PATH=/"], cwd: "/" },
  root: { path: "rootfs", readonly: true },
};

/** What the list depends on. */
export interface ManifestOptions {
  readonly sources: Sources;
  readonly flavour: Flavour;
  readonly init: Init;
  /** Instead of the flavour's own. */
  readonly policy?: Source;
  /** Certificate authorities beside Debian's, as PEM. */
  readonly authorities?: Uint8Array;
}

/**
 * Everything that the guest's root holds, by its path there. Owner is root everywhere. Shared libraries are not listed:
 * they follow from the programs. Debian merges /bin, /sbin and /lib into /usr, and so does the guest.
 */
export const manifest = (options: ManifestOptions): readonly Entry[] => [
  ...folders(),
  ...simulated(options),
  ...daemons(options),
  ...containers(options),
  ...extensions(options),
  ...configuration(options),
];

const folders = (): readonly Entry[] => [
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
];

/** What only the tree of simulated guests has: by this the daemons know it. */
const simulated = ({ init }: ManifestOptions): readonly Entry[] =>
  init === "nvrc" ? [] : [directory("/usr/share"), directory("/usr/share/nacre"), text(SIMULATED_GUEST, "")];

/** The one interpreter, and what it runs. */
const daemons = ({ sources, flavour, init }: ManifestOptions): readonly Entry[] => {
  const { bundles } = bundlesOf(flavour);
  const koffi = `@koromix/koffi-linux-${sources.arch}`;
  return [
    program("/usr/bin/node", npmSource(`node-linux-${sources.arch}`, programPath("node", sources.arch))),
    ...daemon("nvrc", "/usr/sbin/nvrc", join(bundles, `${init}.mjs`)),
    ...daemon("kata-agent", "/usr/bin/kata-agent", join(bundles, "kata-agent.mjs")),
    ...daemon("attestation-agent", "/usr/local/bin/attestation-agent", join(bundles, "attestation-agent.mjs")),
    data("/usr/lib/nacre/grpc-server.mjs", own(join(bundles, "grpc-server.mjs"))),
    ...daemon("api-server-rest", "/usr/local/bin/api-server-rest", join(bundles, "api-server-rest.mjs")),
    ...daemon(
      "confidential-data-hub",
      "/usr/local/bin/confidential-data-hub",
      join(bundles, "confidential-data-hub.mjs"),
    ),
    data("/usr/lib/nacre/image-signatures.mjs", own(join(bundles, "image-signatures.mjs"))),
    data("/usr/lib/nacre/kms-clients.mjs", own(join(bundles, "kms-clients.mjs"))),
    data("/usr/lib/nacre/unpack-worker.mjs", own(join(bundles, "unpack-worker.mjs"))),
    ...(flavour === "devkit"
      ? ["inspector-relay.mjs", "serial-bridge.mjs"].map((name) =>
          data(`/usr/lib/nacre/${name}`, own(join(bundles, name))),
        )
      : []),
    data("/usr/lib/nacre/koffi.node", npmSource(koffi, koffiModule(sources.arch))),
    data("/usr/lib/nacre/regorus.wasm", own(join(ROOT, "packages/regorus-wasm/regorus.wasm"))),
  ];
};

/** crun runs the containers; runc does where control groups are of version 1, as under a simulated guest. */
const containers = ({ sources, init }: ManifestOptions): readonly Entry[] => [
  ...(init === "nvrc" ? [] : [program("/usr/sbin/runc", sources.file("runc", "/usr/sbin/runc"))]),
  program("/usr/bin/crun", sources.file("crun", "/usr/bin/crun")),
  ...pauseBundle(sources.arch),
];

/** The sandbox's container. */
export const pauseBundle = (arch: Arch): readonly Entry[] => [
  directory("/pause_bundle"),
  directory("/pause_bundle/rootfs"),
  program("/pause_bundle/rootfs/pause", own(programPath("pause", arch))),
  text("/pause_bundle/config.json", `${JSON.stringify(PAUSE_CONFIG)}\n`),
];

/** What init needs for extensions: the device, and of a GPU's the modules, and targets in the read-only root. */
const extensions = ({ sources }: ManifestOptions): readonly Entry[] => [
  program("/usr/sbin/veritysetup", sources.file("cryptsetup-bin", "/sbin/veritysetup")),
  program("/usr/sbin/ldconfig", sources.file("libc-bin", "/sbin/ldconfig")),
  program("/usr/sbin/modprobe", sources.file("kmod", "/bin/kmod")),
  directory("/usr/lib/firmware"),
  directory("/usr/lib/firmware/nvidia"),
  text("/etc/ld.so.cache", ""),
];

/** Measured configuration. */
const configuration = ({ sources, flavour, policy, authorities }: ManifestOptions): readonly Entry[] => [
  directory("/etc/kata-opa"),
  data("/etc/kata-opa/default-policy.rego", policy ?? own(DEFAULT_POLICY[flavour])),
  directory("/etc/ssl"),
  directory("/etc/ssl/certs"),
  certificates(sources, authorities),
  text("/etc/passwd", "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"),
  text("/etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"),
  text("/etc/hostname", "nacre\n"),
  text("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
  text("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
  // A target for bind mounts; the guest has no name server of its own.
  text("/etc/resolv.conf", ""),
  text("/etc/os-release", OS_RELEASE),
];

function certificates(sources: Sources, authorities: Uint8Array = Buffer.alloc(0)): Text {
  const { content, origin } = sources.certificates();
  return text("/etc/ssl/certs/ca-certificates.crt", Buffer.concat([content, authorities]), origin);
}
