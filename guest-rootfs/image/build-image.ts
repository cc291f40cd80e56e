import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { KERNEL_ARCH } from "../arch.ts";
import { type Baker, bakerAuthorities, bakerEntries, bakerKernel, bakerSource } from "../baker.ts";
import { KERNEL_PACKAGE } from "../debian/packages.ts";
import type { Flavour } from "../flavour.ts";
import { type Entry, manifest, program, text } from "../manifest.ts";
import { own } from "../origin.ts";
import { buildProgram, stripNode } from "../programs.ts";
import { withLibraries } from "../resolve.ts";
import type { LockedSources } from "../sources.ts";
import { kernelCommandLine } from "./command-line.ts";
import { extensionDisk, extensionEntries, pinsFile } from "./extensions.ts";
import { IMAGE_FILE, type ImageFile } from "./image-file.ts";
import { debianKernel, type Kernel, moduleEntries, stage1Initramfs } from "./kernel.ts";
import { type VerityParams, verityParamsText } from "./verity.ts";
import { buildVerityDisk, type VerityDisk, workFolder } from "./verity-disk.ts";

const DISK = "kata-containers.img";
const KERNEL = "vmlinuz";
const INITRAMFS = "stage1.cpio";
const MANIFEST = "manifest.json";

/** What an image is made of. */
export interface ImageOptions {
  readonly flavour: Flavour;
  readonly sources: LockedSources;
  readonly baker: Baker;
}

/** Builds an image into `folder`. The same sources give the same bytes, wherever the folder lies. */
export async function buildImage(folder: string, { flavour, sources, baker }: ImageOptions): Promise<ImageFile> {
  const { arch } = sources;
  const kernel = baker.kernel === undefined ? debianKernel(sources.package(KERNEL_PACKAGE)) : bakerKernel(baker.kernel);
  buildProgram("pause", arch);
  stripNode(arch);
  mkdirSync(folder, { recursive: true });
  const work = workFolder(folder);
  const gpu = baker.gpu === undefined ? {} : { gpu: baker.gpu };
  const extensions = new Map<string, VerityDisk>();
  for (const [name, entries] of extensionEntries({ flavour, sources, ...gpu })) {
    extensions.set(name, await buildVerityDisk(join(work, `extension-${name}`), entries));
  }
  const pins = new Map([...extensions].map(([name, { params }]) => [name, params]));
  const root = await buildVerityDisk(join(work, "base"), rootEntries({ flavour, sources, baker }, kernel, pins));

  const files: string[] = [];
  const write = (name: string, make: (path: string) => void): void => {
    make(join(folder, `${name}.new`));
    // A guest that runs on the file before keeps it.
    renameSync(join(folder, `${name}.new`), join(folder, name));
    files.push(name);
  };
  write(KERNEL, (path) => copyFileSync(kernel.image.path, path));
  if (!kernel.opensRoot) write(INITRAMFS, (path) => writeFileSync(path, stage1Initramfs(kernel, arch)));
  write(DISK, (path) => copyFileSync(root.disk, path));
  for (const [name, { disk }] of extensions) write(extensionDisk(name), (path) => copyFileSync(disk, path));
  const digests = Object.fromEntries(files.map((name) => [name, sha256(readFileSync(join(folder, name)))]));
  write(MANIFEST, (path) => writeFileSync(path, `${JSON.stringify(root.entries, undefined, 1)}\n`));
  write(rootHashFile(flavour), (path) => writeFileSync(path, `${verityParamsText(root.params)}\n`));
  for (const [name, params] of pins) {
    write(rootHashFile(`extension-${name}`), (path) => writeFileSync(path, `${verityParamsText(params)}\n`));
  }
  const image: ImageFile = {
    flavour,
    arch: KERNEL_ARCH[arch],
    kernel: KERNEL,
    ...(kernel.opensRoot ? {} : { initramfs: INITRAMFS }),
    disk: DISK,
    commandLine: kernelCommandLine(arch, root.params, baker.commandLine),
    locked: sources.locked,
    rootHash: root.params.rootHash,
    extensions: Object.fromEntries(
      [...pins].map(([name, params]) => [name, { disk: extensionDisk(name), verityParams: verityParamsText(params) }]),
    ),
    sha256: digests,
  };
  write(IMAGE_FILE, (path) => writeFileSync(path, `${JSON.stringify(image, undefined, 2)}\n`));
  // Nothing of a build before stays beside this one's.
  for (const name of readdirSync(folder)) if (!files.includes(name)) rmSync(join(folder, name), { recursive: true });
  return image;
}

const rootHashFile = (name: string): string => `root_hash_${name}.txt`;

/** Everything that the root of an image holds. */
function rootEntries(
  { flavour, sources, baker }: ImageOptions,
  kernel: Kernel,
  pins: ReadonlyMap<string, VerityParams>,
): readonly Entry[] {
  const policy = baker.policy === undefined ? {} : { policy: bakerSource(baker.policy) };
  const entries = [
    ...manifest({ sources, flavour, init: "nvrc", ...policy, authorities: bakerAuthorities(baker) }),
    program("/usr/sbin/init", own(buildProgram("launcher", sources.arch))),
    text("/etc/nacre/extensions.json", pinsFile(pins)),
    ...moduleEntries(kernel, baker.modules),
    ...bakerEntries(baker),
  ];
  return withLibraries(entries, sources);
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
