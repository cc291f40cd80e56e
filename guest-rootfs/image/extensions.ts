import { lstatSync, readdirSync, readlinkSync } from "node:fs";
import { basename, dirname, join, normalize } from "node:path";

import { bakerSource } from "../baker.ts";
import { bundlesOf, type Flavour } from "../flavour.ts";
import { type Entry, data, link, pauseBundle, program, text } from "../manifest.ts";
import { koffiModule } from "../npm-package.ts";
import { npmSource, own } from "../origin.ts";
import { programPath } from "../programs.ts";
import { withFolders, withLibraries } from "../resolve.ts";
import type { Sources } from "../sources.ts";
import { TRIPLET } from "../arch.ts";
import { verityParamsText, type VerityParams } from "./verity.ts";

/** What extensions are made of. */
export interface ExtensionOptions {
  readonly sources: Sources;
  readonly flavour: Flavour;
  /** A baker's folder with the user space, modules and firmware of a GPU's driver. */
  readonly gpu?: string;
}

/** The entries of each extension that an image of this flavour accepts, by name. */
export function extensionEntries(options: ExtensionOptions): ReadonlyMap<string, readonly Entry[]> {
  const { flavour, gpu, sources } = options;
  return new Map([
    ["coco", coco(options)],
    ...(flavour === "devkit" ? [["devkit", devkit(sources)] as const] : []),
    ...(gpu === undefined ? [] : [["gpu", withFolders(folderEntries(gpu))] as const]),
  ]);
}

/** The measured file of the base that names the extensions it accepts; nvrc reads it. */
export function pinsFile(pins: ReadonlyMap<string, VerityParams>): string {
  const extensions = Object.fromEntries([...pins].map(([name, params]) => [name, [verityParamsText(params)]]));
  return `${JSON.stringify({ schema_version: 1, extensions }, undefined, 1)}\n`;
}

/** Paths are relative to the extension; the agent fills the variables in. */
const componentsToml = (libraries: string): string => `schema_version = 1

[paths]
"pause-bundle" = "pause_bundle"

[[process]]
id = "attestation-agent"
level = 1
path = "usr/bin/node"
args = ["--disable-sigusr1", "\${extension_root}/usr/lib/nacre/attestation-agent.mjs", "--attestation_sock", "\${aa_attestation_uri}"]
optional_args = [{ when = "initdata_toml_path", args = ["--initdata-toml", "\${initdata_toml_path}"] }]
config = "\${aa_config_path}"
env = { LD_LIBRARY_PATH = "\${extension_root}/${libraries}:/run/kata-extensions/gpu/usr/lib", PATH = "/usr/sbin:/usr/bin:/sbin:/bin" }
wait_socket = "\${aa_attestation_socket}"
timeout_secs = "\${launch_process_timeout}"

[[process]]
id = "confidential-data-hub"
level = 2
path = "usr/bin/node"
args = ["--disable-sigusr1", "\${extension_root}/usr/lib/nacre/confidential-data-hub.mjs"]
config = "\${cdh_config_path}"
env = { LD_LIBRARY_PATH = "\${extension_root}/${libraries}", PATH = "/usr/sbin:/usr/bin:/sbin:/bin" }
wait_socket = "\${cdh_socket}"
timeout_secs = "\${launch_process_timeout}"

[[process]]
id = "api-server-rest"
level = 3
path = "usr/bin/node"
args = ["--disable-sigusr1", "\${extension_root}/usr/lib/nacre/api-server-rest.mjs", "--features", "\${rest_api_features}"]
env = { LD_LIBRARY_PATH = "\${extension_root}/${libraries}", PATH = "/usr/sbin:/usr/bin:/sbin:/bin" }
timeout_secs = "0"
`;

/** The guest components with an interpreter of their own, for a base that has none; the C library is the base's. */
function coco({ sources, flavour }: ExtensionOptions): readonly Entry[] {
  const { bundles } = bundlesOf(flavour);
  const bundle = (name: string): Entry => program(`/usr/lib/nacre/${name}`, own(join(bundles, name)));
  const entries = [
    text("/etc/kata-extensions/components.toml", componentsToml(`usr/lib/${TRIPLET[sources.arch]}`)),
    program("/usr/bin/node", npmSource(`node-linux-${sources.arch}`, programPath("node", sources.arch))),
    bundle("api-server-rest.mjs"),
    bundle("attestation-agent.mjs"),
    bundle("grpc-server.mjs"),
    bundle("confidential-data-hub.mjs"),
    bundle("image-signatures.mjs"),
    bundle("kms-clients.mjs"),
    bundle("unpack-worker.mjs"),
    data("/usr/lib/nacre/koffi.node", npmSource(`@koromix/koffi-linux-${sources.arch}`, koffiModule(sources.arch))),
    ...pauseBundle(sources.arch),
  ];
  const ofLibc = /\/(?:ld-linux[^/]*|lib(?:c|m|dl|pthread|rt)\.so\.\d+)$/u;
  return withLibraries(entries, sources).filter(({ path }) => !ofLibc.test(path) && path !== "/usr/lib64");
}

/** What the debug console gives whoever connects: a shell, and under their names the tools that it holds. */
function devkit(sources: Sources): readonly Entry[] {
  return withFolders([
    program("/bin/busybox", sources.file("busybox-static", "/bin/busybox")),
    {
      ...text(
        "/bin/devkit-sh",
        `#!${EXTENSIONS_ROOT}/devkit/bin/busybox sh\nexec ${EXTENSIONS_ROOT}/devkit/bin/busybox sh -i\n`,
      ),
      mode: 0o755,
    },
    ...BUSYBOX_APPLETS.map((name) => link(`/bin/${name}`, "busybox")),
  ]);
}

/** Where init mounts them. */
const EXTENSIONS_ROOT = "/run/kata-extensions";

const BUSYBOX_APPLETS: readonly string[] = (
  "ash cat chmod chown clear cp cut date dd df diff dirname dmesg du echo env find free grep gunzip gzip head hexdump hostname id ip kill less ln ls " +
  "lsmod md5sum mkdir mknod more mount mv nc netstat nslookup ping ping6 ps pwd readlink reset rm rmdir sed sh sha256sum sleep sort stat strings stty " +
  "tail tar tee timeout top touch tr tty umount uname uniq uptime vi wc wget which xargs xxd"
).split(" ");

/** Everything below a baker's folder, with its modes; links stay links and must not lead out. */
function folderEntries(root: string, folder = "/"): readonly Entry[] {
  return readdirSync(join(root, folder))
    .sort()
    .flatMap((name): readonly Entry[] => {
      const path = join(folder, name);
      const at = join(root, path);
      const status = lstatSync(at);
      if (status.isDirectory()) return [{ type: "directory", path, mode: 0o755 }, ...folderEntries(root, path)];
      if (status.isSymbolicLink()) return [insideLink(path, readlinkSync(at))];
      if (!status.isFile()) throw new Error(`${at}: expected a file, a folder or a link`);
      if ((status.mode & 0o7000) !== 0)
        throw new Error(`${at}: expected no set-id bit, got mode ${(status.mode & 0o7777).toString(8)}`);
      return [{ type: "file", path, mode: (status.mode & 0o111) === 0 ? 0o644 : 0o755, source: bakerSource(at) }];
    });
}

function insideLink(path: string, target: string): Entry {
  // An absolute one leads into the guest's root, wherever the extension is mounted.
  const leads = target.startsWith("/") || normalize(join(dirname(path).slice(1), target)).startsWith("..");
  if (leads) throw new Error(`${path}: expected a link within the folder, got ${target}`);
  return link(path, target);
}

/** `extension-<name>.img`, as the disk's serial number has it. */
export function extensionDisk(name: string): string {
  return `extension-${basename(name)}.img`;
}
