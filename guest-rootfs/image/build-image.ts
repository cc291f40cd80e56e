import { readFileSync } from "node:fs";
import { join } from "node:path";

import { KERNEL_ARCH } from "../arch.ts";
import { type Baker, bakerAuthorities, bakerEntries, bakerKernel, bakerSource } from "../baker.ts";
import { kernelPackage, STUB_PACKAGE } from "../debian/packages.ts";
import type { Flavour } from "../flavour.ts";
import { type Entry, manifest, OS_RELEASE, program, text } from "../manifest.ts";
import { imageReferenceValues, launchValues } from "../measure/launch-values.ts";
import { rvpsMessage } from "../measure/reference-values.ts";
import { NODE_PAGES, nodePages } from "../node-pages.ts";
import { own } from "../origin.ts";
import { buildProgram, stripNode } from "../programs.ts";
import { withLibraries } from "../resolve.ts";
import type { LockedSources } from "../sources.ts";
import { kernelCommandLine } from "./command-line.ts";
import { extensionDisk, extensionEntries, pinsFile } from "./extensions.ts";
import { IMAGE_FILE, type ImageFile } from "./image-file.ts";
import { ImageFolder } from "./image-folder.ts";
import { buildInitrd } from "./initrd.ts";
import { debianKernel, type Kernel, moduleEntries, stage1Initramfs } from "./kernel.ts";
import { imageSbom } from "./image-sbom.ts";
import { makeUki, type UkiParts } from "./uki.ts";
import { type VerityParams, verityParamsText } from "./verity.ts";
import { buildVerityDisk, type ListedEntry, type VerityDisk, workFolder } from "./verity-disk.ts";

/** What an image is made of. */
export interface ImageOptions {
  readonly flavour: Flavour;
  /** Where the root is: on a disk that dm-verity opens (the default), or all of it in the initramfs. */
  readonly root?: "disk" | "initrd";
  readonly sources: LockedSources;
  readonly baker: Baker;
}

/** A root and what boots it. */
interface Root {
  readonly entries: readonly ListedEntry[];
  /** The folder that it was made of. */
  readonly tree: string;
  readonly disk?: string;
  readonly params?: VerityParams;
  readonly initramfs?: Buffer;
}

const INITRAMFS = { disk: "stage1.cpio", initrd: "kata-containers-initrd.img" } as const;

/** Builds an image into `folder`. The same sources give the same bytes, wherever the folder lies. */
export async function buildImage(folder: string, options: ImageOptions): Promise<ImageFile> {
  const { flavour, sources, baker } = options;
  buildProgram("pause", sources.arch);
  stripNode(sources.arch);
  const work = workFolder(folder);
  const kernel =
    baker.kernel === undefined ? debianKernel(sources.package(kernelPackage(sources.arch))) : bakerKernel(baker.kernel);
  const extensions = await buildExtensions(work, options);
  const entries = rootEntries(options, kernel, extensions);
  const root = await buildRoot(join(work, "base"), options, kernel, entries);
  const booted = { arch: sources.arch, flavour, root: root.params };
  const boot = bootParts(kernel, sources, root, kernelCommandLine(booted, baker.commandLine));

  const files = new ImageFolder(folder);
  const image: ImageFile = {
    flavour,
    arch: KERNEL_ARCH[sources.arch],
    kernel: files.put("vmlinuz", boot.kernel),
    ...(boot.initramfs === undefined
      ? {}
      : { initramfs: files.put(INITRAMFS[options.root ?? "disk"], boot.initramfs) }),
    unifiedKernelImage: files.put("nacre.efi", makeUki(boot)),
    ...(root.disk === undefined ? {} : { disk: files.put("kata-containers.img", root.disk) }),
    commandLine: boot.commandLine,
    locked: sources.locked,
    ...(root.params === undefined ? {} : { rootHash: root.params.rootHash }),
    extensions: Object.fromEntries(
      [...extensions].map(([name, { disk, params }]) => [
        name,
        { disk: files.put(extensionDisk(name), disk), verityParams: verityParamsText(params) },
      ]),
    ),
    sha256: files.digests,
  };
  if (root.params !== undefined) files.describe(`root_hash_${flavour}.txt`, `${verityParamsText(root.params)}\n`);
  for (const [name, { params }] of extensions) {
    files.describe(`root_hash_extension-${name}.txt`, `${verityParamsText(params)}\n`);
  }
  files.describe("manifest.json", `${JSON.stringify(root.entries, undefined, 1)}\n`);
  files.describeJson("sbom.spdx.json", imageSbom(options, { ...root, image }));
  const launch = launchValues(boot, image.rootHash);
  files.describeJson("launch-values.json", launch);
  files.describeJson("reference-values.json", rvpsMessage(imageReferenceValues(launch)));
  files.describeJson(IMAGE_FILE, image);
  files.close();
  return image;
}

async function buildExtensions(
  work: string,
  { flavour, sources, baker }: ImageOptions,
): Promise<ReadonlyMap<string, VerityDisk>> {
  const gpu = baker.gpu === undefined ? {} : { gpu: baker.gpu };
  const extensions = new Map<string, VerityDisk>();
  for (const [name, entries] of extensionEntries({ flavour, sources, ...gpu })) {
    extensions.set(name, await buildVerityDisk(join(work, `extension-${name}`), entries));
  }
  return extensions;
}

/** Everything that the root of an image holds. */
function rootEntries(
  { flavour, root, sources, baker }: ImageOptions,
  kernel: Kernel,
  extensions: ReadonlyMap<string, VerityDisk>,
): readonly Entry[] {
  const policy = baker.policy === undefined ? {} : { policy: bakerSource(baker.policy) };
  // A root in memory has nothing to read.
  const pages = root === "initrd" ? undefined : nodePages(sources.arch);
  const pins = new Map([...extensions].map(([name, { params }]) => [name, params]));
  const entries = [
    ...manifest({ sources, flavour, init: "nvrc", ...policy, authorities: bakerAuthorities(baker) }),
    program("/usr/sbin/init", own(buildProgram("launcher", sources.arch))),
    ...(pages === undefined ? [] : [text(NODE_PAGES, pages)]),
    text("/etc/nacre/extensions.json", pinsFile(pins)),
    ...moduleEntries(kernel, { more: baker.modules, stage1: root !== "initrd" }),
    ...bakerEntries(baker),
  ];
  return withLibraries(entries, sources);
}

async function buildRoot(
  work: string,
  { root, sources }: ImageOptions,
  kernel: Kernel,
  entries: readonly Entry[],
): Promise<Root> {
  if (root === "initrd") return buildInitrd(work, entries);
  const built = await buildVerityDisk(work, entries);
  return kernel.opensRoot ? built : { ...built, initramfs: stage1Initramfs(kernel, sources.arch, built.params) };
}

/** What firmware loads and measures. */
function bootParts(kernel: Kernel, sources: LockedSources, { initramfs }: Root, commandLine: string): UkiParts {
  const stub = { x64: "linuxx64.efi.stub", arm64: "linuxaa64.efi.stub" }[sources.arch];
  return {
    stub: readFileSync(sources.file(STUB_PACKAGE, `/usr/lib/systemd/boot/efi/${stub}`).path),
    kernel: readFileSync(kernel.image.path),
    ...(initramfs === undefined ? {} : { initramfs }),
    commandLine,
    osRelease: Buffer.from(OS_RELEASE),
  };
}
