import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

import { KERNEL_ARCH } from "../arch.ts";
import { type Baker, bakerAuthorities, bakerEntries, bakerKernel, bakerSource } from "../baker.ts";
import { KERNEL_PACKAGE } from "../debian/packages.ts";
import type { Flavour } from "../flavour.ts";
import { type Entry, manifest, program } from "../manifest.ts";
import { own } from "../origin.ts";
import { buildProgram, stripNode } from "../programs.ts";
import { withLibraries } from "../resolve.ts";
import type { LockedSources } from "../sources.ts";
import { placeTree, type ResolvedEntry } from "../tree.ts";
import { kernelCommandLine } from "./command-line.ts";
import { writeDisk } from "./disk.ts";
import { makeErofs } from "./erofs.ts";
import { IMAGE_FILE, type ImageFile } from "./image-file.ts";
import { debianKernel, type Kernel, moduleEntries, stage1Initramfs } from "./kernel.ts";
import { formatVerity, type VerityParams, verityParamsText } from "./verity.ts";

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
  mkdirSync(folder, { recursive: true });
  const { disk, params, listed } = await buildRoot(
    workFolder(folder),
    rootEntries({ flavour, sources, baker }, kernel),
  );

  const write = (name: string, make: (path: string) => void): void => {
    make(join(folder, `${name}.new`));
    // A guest that runs on the file before keeps it.
    renameSync(join(folder, `${name}.new`), join(folder, name));
  };
  write(DISK, (path) => copyFileSync(disk, path));
  write(KERNEL, (path) => copyFileSync(kernel.image.path, path));
  if (!kernel.opensRoot) write(INITRAMFS, (path) => writeFileSync(path, stage1Initramfs(kernel, arch)));
  else rmSync(join(folder, INITRAMFS), { force: true });
  write(MANIFEST, (path) => writeFileSync(path, listed));
  write(`root_hash_${flavour}.txt`, (path) => writeFileSync(path, `${verityParamsText(params)}\n`));

  const files = [KERNEL, ...(kernel.opensRoot ? [] : [INITRAMFS]), DISK];
  const image: ImageFile = {
    flavour,
    arch: KERNEL_ARCH[arch],
    kernel: KERNEL,
    ...(kernel.opensRoot ? {} : { initramfs: INITRAMFS }),
    disk: DISK,
    commandLine: kernelCommandLine(arch, params, baker.commandLine),
    locked: sources.locked,
    rootHash: params.rootHash,
    sha256: Object.fromEntries(files.map((name) => [name, sha256(readFileSync(join(folder, name)))])),
  };
  write(IMAGE_FILE, (path) => writeFileSync(path, `${JSON.stringify(image, undefined, 2)}\n`));
  return image;
}

/** Everything that the root of an image holds. */
function rootEntries({ flavour, sources, baker }: ImageOptions, kernel: Kernel): readonly Entry[] {
  buildProgram("pause", sources.arch);
  stripNode(sources.arch);
  const policy = baker.policy === undefined ? {} : { policy: bakerSource(baker.policy) };
  const entries = [
    ...manifest({ sources, flavour, init: "nvrc", ...policy, authorities: bakerAuthorities(baker) }),
    program("/usr/sbin/init", own(buildProgram("launcher", sources.arch))),
    ...moduleEntries(kernel),
    ...bakerEntries(baker),
  ];
  return withLibraries(entries, sources);
}

/** What is kept from build to build, out of the way of whoever looks through the images. */
function workFolder(folder: string): string {
  return join(dirname(folder), ".work", basename(folder));
}

interface Root {
  readonly disk: string;
  readonly params: VerityParams;
  /** The manifest with digests, as JSON. */
  readonly listed: string;
}

/** The disk with the root, below `work`; made anew only where an entry has changed. */
async function buildRoot(work: string, entries: readonly Entry[]): Promise<Root> {
  const [tree, disk, done] = ["root", "disk.img", "done.json"].map((name) => join(work, name)) as [
    string,
    string,
    string,
  ];
  mkdirSync(work, { recursive: true });
  const placed = placeTree(entries, tree, join(work, "placed.json"));
  const listed = `${JSON.stringify(placed.map(measured), undefined, 1)}\n`;
  const key = sha256(Buffer.from(listed));
  if (existsSync(done) && existsSync(disk)) {
    const before = JSON.parse(readFileSync(done, "utf8")) as { key: string; params: VerityParams };
    if (before.key === key) return { disk, params: before.params, listed };
  }
  const [root, hashes] = ["root.erofs", "root.verity"].map((name) => join(work, name)) as [string, string];
  rmSync(done, { force: true });
  makeErofs(tree, root, listed);
  const params = await formatVerity(root, hashes);
  await writeDisk(disk, [root, hashes]);
  for (const file of [root, hashes]) rmSync(file);
  writeFileSync(done, JSON.stringify({ key, params }));
  return { disk, params, listed };
}

/** An entry without what names the building machine. */
function measured({ source: _source, stamp: _stamp, ...entry }: ResolvedEntry): ResolvedEntry & { owner: string } {
  return { ...entry, owner: "0:0" };
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
