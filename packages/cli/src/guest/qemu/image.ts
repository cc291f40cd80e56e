import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { NacreError } from "../../error.ts";
import { REPOSITORY } from "../../repository.ts";

/** A measured image, as `make rootfs` leaves it. Paths are absolute. */
export interface GuestImage {
  readonly flavour: string;
  /** As `uname -m`. */
  readonly arch: string;
  readonly kernel: string;
  /** Undefined where the kernel opens the root itself. */
  readonly initramfs: string | undefined;
  /** Kernel, initramfs and command line as one EFI program, which firmware boots and measures. */
  readonly unifiedKernelImage: string | undefined;
  /** Raw: the root on its first partition, its hash tree on the second. */
  readonly disk: string;
  /** What the kernel needs to open this root; the host appends the agent's parameters. */
  readonly commandLine: string;
  /** What may be added to the root, by name; the root pins their hashes. */
  readonly extensions: Readonly<Record<string, ImageExtension>>;
}

/** A further measured disk. */
export interface ImageExtension {
  readonly disk: string;
  /** As Kata's runtime hands them to init. */
  readonly verityParams: string;
}

/** Names of extensions as Kata's runtime allows them, and init. */
const EXTENSION = /^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/u;
const VERITY_PARAMS = /^[a-z0-9_=,]{1,400}$/u;

/** The file of an image's folder that names the others. */
const IMAGE_FILE = "image.json";
/** The flavour for developers, and the default. */
export const DEVKIT = "devkit";

/** Where the build of the repository that this package lies in puts a flavour. */
export function defaultImage(flavour: string = DEVKIT): string {
  return join(REPOSITORY, "build/images", flavour);
}

/** Reads an image's folder. Throws `environment` where there is none, `input` where it cannot be used. */
export function readImage(folder: string): GuestImage {
  const file = join(folder, IMAGE_FILE);
  if (!existsSync(file)) {
    throw new NacreError("environment", `the guest's image ${folder} is missing: run \`make rootfs\``);
  }
  const image = parseImage(readFileSync(file, "utf8"), resolve(folder));
  for (const path of [image.kernel, image.initramfs, image.unifiedKernelImage, image.disk]) {
    if (path !== undefined && !existsSync(path)) throw new NacreError("input", `${file}: expected a file ${path}`);
  }
  return image;
}

/** The same from the file's text. Keys for others than whoever boots the image are passed over. */
export function parseImage(text: string, folder: string): GuestImage {
  const fields = parseObject(text);
  const file = (key: string, name: string): string => {
    if (!/^[A-Za-z0-9_][A-Za-z0-9._-]*$/u.test(name)) {
      throw new NacreError("input", `${IMAGE_FILE}: ${key}: expected the name of a file beside it, got ${name}`);
    }
    return join(folder, name);
  };
  const string = (key: string): string => {
    const value = fields[key];
    if (typeof value !== "string" || value === "") {
      throw new NacreError("input", `${IMAGE_FILE}: ${key}: expected a text, got ${JSON.stringify(value)}`);
    }
    return value;
  };
  const optionalFile = (key: string): string | undefined =>
    fields[key] === undefined ? undefined : file(key, string(key));
  return {
    flavour: string("flavour"),
    arch: string("arch"),
    kernel: file("kernel", string("kernel")),
    initramfs: optionalFile("initramfs"),
    unifiedKernelImage: optionalFile("unifiedKernelImage"),
    disk: file("disk", string("disk")),
    commandLine: string("commandLine"),
    extensions: parseExtensions(fields["extensions"] ?? {}, file),
  };
}

function parseExtensions(
  value: unknown,
  file: (key: string, name: string) => string,
): Readonly<Record<string, ImageExtension>> {
  const parsed = Object.entries(value as object).map(([name, extension]) => {
    const { disk, verityParams } = (extension ?? {}) as Readonly<Record<string, unknown>>;
    const key = `extensions.${name}`;
    if (!EXTENSION.test(name)) throw new NacreError("input", `${IMAGE_FILE}: ${key}: expected a plain name`);
    if (typeof disk !== "string") throw new NacreError("input", `${IMAGE_FILE}: ${key}.disk: expected a text`);
    if (typeof verityParams !== "string" || !VERITY_PARAMS.test(verityParams)) {
      throw new NacreError("input", `${IMAGE_FILE}: ${key}.verityParams: expected parameters of dm-verity`);
    }
    return [name, { disk: file(`${key}.disk`, disk), verityParams }] as const;
  });
  return Object.fromEntries(parsed);
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new NacreError("input", `${IMAGE_FILE}: expected JSON`, { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new NacreError("input", `${IMAGE_FILE}: expected an object`);
  }
  return value as Readonly<Record<string, unknown>>;
}
