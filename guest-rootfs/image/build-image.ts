import { readFileSync } from "node:fs";
import { join } from "node:path";

import { type Arch, KERNEL_ARCH } from "../arch.ts";
import { type Baker, bakerAuthorities, bakerEntries, bakerKernel, bakerSource } from "../baker.ts";
import { contentsOf } from "../bundle.ts";
import { KERNEL_PACKAGE, STUB_PACKAGE } from "../debian/packages.ts";
import { bundlesOf, type Flavour } from "../flavour.ts";
import { type Entry, manifest, OS_RELEASE, program, text } from "../manifest.ts";
import { imageReferenceValues, launchValues } from "../measure/launch-values.ts";
import { rvpsMessage } from "../measure/reference-values.ts";
import { own } from "../origin.ts";
import { buildProgram, stripNode } from "../programs.ts";
import { withLibraries } from "../resolve.ts";
import type { LockedSources } from "../sources.ts";
import { kernelCommandLine } from "./command-line.ts";
import { extensionDisk, extensionEntries, pinsFile } from "./extensions.ts";
import { IMAGE_FILE, type ImageFile } from "./image-file.ts";
import { ImageFolder } from "./image-folder.ts";
import { debianKernel, type Kernel, moduleEntries, stage1Initramfs } from "./kernel.ts";
import { cargoComponents, type Component, npmComponents, spdxDocument } from "./sbom.ts";
import { makeUki, type UkiParts } from "./uki.ts";
import { type VerityParams, verityParamsText } from "./verity.ts";
import { buildVerityDisk, type VerityDisk, workFolder } from "./verity-disk.ts";

/** What an image is made of. */
export interface ImageOptions {
  readonly flavour: Flavour;
  readonly sources: LockedSources;
  readonly baker: Baker;
}

/** Builds an image into `folder`. The same sources give the same bytes, wherever the folder lies. */
export async function buildImage(folder: string, options: ImageOptions): Promise<ImageFile> {
  const { flavour, sources, baker } = options;
  const { arch } = sources;
  buildProgram("pause", arch);
  stripNode(arch);
  const work = workFolder(folder);
  const kernel = baker.kernel === undefined ? debianKernel(sources.package(KERNEL_PACKAGE)) : bakerKernel(baker.kernel);
  const extensions = await buildExtensions(work, options);
  const pins = new Map([...extensions].map(([name, { params }]) => [name, params]));
  const root = await buildVerityDisk(join(work, "base"), rootEntries(options, kernel, pins));
  const boot = bootParts(kernel, arch, kernelCommandLine(arch, root.params, baker.commandLine), sources);

  const files = new ImageFolder(folder);
  const image: ImageFile = {
    flavour,
    arch: KERNEL_ARCH[arch],
    kernel: files.put("vmlinuz", boot.kernel),
    ...(boot.initramfs === undefined ? {} : { initramfs: files.put("stage1.cpio", boot.initramfs) }),
    unifiedKernelImage: files.put("nacre.efi", makeUki(boot)),
    disk: files.put("kata-containers.img", root.disk),
    commandLine: boot.commandLine,
    locked: sources.locked,
    rootHash: root.params.rootHash,
    extensions: Object.fromEntries(
      [...extensions].map(([name, { disk, params }]) => [
        name,
        { disk: files.put(extensionDisk(name), disk), verityParams: verityParamsText(params) },
      ]),
    ),
    sha256: files.digests,
  };
  for (const [name, params] of [[flavour, root.params] as const, ...prefixed(pins)]) {
    files.describe(`root_hash_${name}.txt`, `${verityParamsText(params)}\n`);
  }
  files.describe("manifest.json", `${JSON.stringify(root.entries, undefined, 1)}\n`);
  files.describeJson("sbom.spdx.json", sbom(options, root));
  const launch = launchValues(boot, root.params.rootHash);
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

const prefixed = (pins: ReadonlyMap<string, VerityParams>): (readonly [string, VerityParams])[] =>
  [...pins].map(([name, params]) => [`extension-${name}`, params]);

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

/** What firmware loads and measures. */
function bootParts(kernel: Kernel, arch: Arch, commandLine: string, sources: LockedSources): UkiParts {
  const stub = { x64: "linuxx64.efi.stub", arm64: "linuxaa64.efi.stub" }[arch];
  return {
    stub: readFileSync(sources.file(STUB_PACKAGE, `/usr/lib/systemd/boot/efi/${stub}`).path),
    kernel: readFileSync(kernel.image.path),
    ...(kernel.opensRoot ? {} : { initramfs: stage1Initramfs(kernel, arch) }),
    commandLine,
    osRelease: Buffer.from(OS_RELEASE),
  };
}

function sbom({ flavour, sources }: ImageOptions, root: VerityDisk): object {
  const debian = [...sources.digests].map(([purl, value]): Component => ({
    purl,
    checksum: { algorithm: "SHA256", value },
  }));
  const origins = [...new Set(root.entries.flatMap(({ origin }) => origin ?? []))];
  const bundled = JSON.parse(readFileSync(contentsOf(bundlesOf(flavour).bundles), "utf8")) as Record<string, string[]>;
  const crates = cargoComponents();
  const contents = {
    ...Object.fromEntries(Object.entries(bundled).map(([name, purls]) => [`/usr/lib/nacre/${name}`, purls])),
    "/usr/lib/nacre/regorus.wasm": crates.map(({ purl }) => purl),
  };
  const npm = [...origins, ...Object.values(bundled).flat()].filter((purl) => purl.startsWith("pkg:npm/"));
  // Of locked packages those that have something in the root.
  const used = debian.filter(({ purl }) => origins.includes(purl));
  const others = origins.filter((purl) => !/^pkg:(?:npm|deb)\//u.test(purl)).map((purl): Component => ({ purl }));
  return spdxDocument({
    name: `nacre-guest-${flavour}-${KERNEL_ARCH[sources.arch]}`,
    rootHash: root.params.rootHash,
    entries: root.entries,
    tree: root.tree,
    components: [...used, ...npmComponents(npm), ...crates, ...others],
    contents,
  });
}
