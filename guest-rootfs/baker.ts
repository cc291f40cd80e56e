import { readFileSync, statSync } from "node:fs";
import { dirname, isAbsolute, normalize, resolve } from "node:path";
import { X509Certificate } from "node:crypto";

import { type Kernel } from "./image/kernel.ts";
import { KernelModules } from "./image/kernel-modules.ts";
import type { Entry } from "./manifest.ts";
import { BAKER_ORIGIN, type Source } from "./origin.ts";

/** What whoever bakes an image adds to it. Paths of sources are absolute. */
export interface Baker {
  /** PEM files of certificate authorities that the guest trusts beside Debian's. */
  readonly certificates: readonly string[];
  /** Instead of the flavour's default policy. */
  readonly policy?: string;
  readonly kernel?: BakerKernel;
  /** Kernel parameters, in front of those that open the root. */
  readonly commandLine: readonly string[];
  readonly files: readonly BakerFile[];
  /** Folder of a GPU's driver (user space, modules, firmware, as they lie in a root) for the extension `gpu`. */
  readonly gpu?: string;
  /** Modules beside ours: loaded at boot, or only there for modprobe. */
  readonly modules: { readonly load: readonly string[]; readonly include: readonly string[] };
}

export interface BakerKernel {
  readonly image: string;
  /** …/lib/modules/<release>; without it everything is taken to be built in. */
  readonly modules?: string;
  /** Whether the kernel has CONFIG_DM_INIT, and so needs no stage 1. */
  readonly opensRoot: boolean;
}

export interface BakerFile {
  /** In the guest. */
  readonly path: string;
  readonly source: string;
  readonly mode: number;
}

export const NO_BAKER: Baker = {
  certificates: [],
  commandLine: [],
  files: [],
  modules: { load: [], include: [] },
};

/** Parameters that decide which root is opened and what runs first: the build's own. */
const RESERVED = /^(?:dm[-_]mod\.create|root|rootflags|rootfstype|rdinit|init|initrd)(?:=|$)/u;

const KEYS = ["certificates", "policy", "kernel", "commandLine", "files", "gpu", "modules"];

/** Reads a baker's file (README, "A baker's file"); what it names is relative to its folder. Throws for unknown keys. */
export function readBaker(path: string): Baker {
  return parseBaker(readFileSync(path, "utf8"), resolve(path));
}

export function parseBaker(text: string, path: string): Baker {
  const at = (file: string): string => resolve(dirname(path), file);
  const root = fields(JSON.parse(text), path, KEYS);
  const kernel = root["kernel"];
  return {
    certificates: texts(root["certificates"] ?? [], `${path}: certificates`).map(at),
    ...(root["policy"] === undefined ? {} : { policy: at(asText(root["policy"], `${path}: policy`)) }),
    ...(kernel === undefined ? {} : { kernel: parseKernel(kernel, `${path}: kernel`, at) }),
    commandLine: texts(root["commandLine"] ?? [], `${path}: commandLine`).map((word) => parameter(word, path)),
    ...(root["gpu"] === undefined ? {} : { gpu: at(asText(root["gpu"], `${path}: gpu`)) }),
    modules: parseModules(root["modules"] ?? {}, `${path}: modules`),
    files: list(root["files"] ?? [], `${path}: files`).map((file, i) => parseFile(file, `${path}: files[${i}]`, at)),
  };
}

/** The kernel that a baker brings. */
export function bakerKernel({ image, modules, opensRoot }: BakerKernel): Kernel {
  return {
    image: bakerSource(image),
    modules: modules === undefined ? undefined : new KernelModules(bakerSource(modules)),
    opensRoot,
  };
}

/** The files that a baker brings, as entries of the manifest. */
export function bakerEntries({ files }: Baker): readonly Entry[] {
  return files.map(({ path, source, mode }) => ({ type: "file", path, mode, source: bakerSource(source) }));
}

export function bakerSource(path: string): Source {
  if (statSync(path, { throwIfNoEntry: false }) === undefined) throw new Error(`${path}: expected it, got nothing`);
  return { path, origin: BAKER_ORIGIN };
}

/** The certificates of a baker, one after another. Throws for what is no certificate. */
export function bakerAuthorities({ certificates }: Baker): Buffer {
  const blocks = certificates.flatMap((path) => {
    const found = readFileSync(path, "latin1").match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/gu);
    if (found === null) throw new Error(`${path}: expected certificates as PEM, got none`);
    for (const block of found) checkAuthority(block, path);
    return found;
  });
  return Buffer.from(blocks.map((block) => `${block}\n`).join(""), "latin1");
}

function checkAuthority(block: string, path: string): void {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(block);
  } catch (cause) {
    throw new Error(`${path}: expected a certificate`, { cause });
  }
  if (!certificate.ca) throw new Error(`${path}: expected a certificate authority, got ${certificate.subject}`);
}

function parseKernel(value: unknown, where: string, at: (file: string) => string): BakerKernel {
  const { image, modules, opensRoot } = fields(value, where, ["image", "modules", "opensRoot"]);
  if (opensRoot !== undefined && typeof opensRoot !== "boolean")
    throw new Error(`${where}: opensRoot: expected a boolean`);
  return {
    image: at(asText(image, `${where}: image`)),
    ...(modules === undefined ? {} : { modules: at(asText(modules, `${where}: modules`)) }),
    opensRoot: opensRoot ?? false,
  };
}

function parseModules(value: unknown, where: string): Baker["modules"] {
  const { load, include } = fields(value, where, ["load", "include"]);
  const names = (list: unknown, key: string): readonly string[] =>
    texts(list ?? [], `${where}: ${key}`).map((name) => {
      if (/^[A-Za-z0-9_-]+$/u.test(name)) return name;
      throw new Error(`${where}: ${key}: expected a module's name, got ${JSON.stringify(name)}`);
    });
  return { load: names(load, "load"), include: names(include, "include") };
}

function parseFile(value: unknown, where: string, at: (file: string) => string): BakerFile {
  const found = fields(value, where, ["path", "source", "mode"]);
  const path = asText(found["path"], `${where}: path`);
  if (!isAbsolute(path) || normalize(path) !== path || path.endsWith("/") || /[\0\n]/u.test(path)) {
    throw new Error(`${where}: path: expected an absolute path without . and .., got ${JSON.stringify(path)}`);
  }
  const mode = asText(found["mode"] ?? "0644", `${where}: mode`);
  // Nothing in the image gives rights that its user does not have.
  if (!/^0[0-7]{3}$/u.test(mode))
    throw new Error(`${where}: mode: expected four octal digits, the first 0, got ${mode}`);
  return { path, source: at(asText(found["source"], `${where}: source`)), mode: Number.parseInt(mode, 8) };
}

function parameter(word: string, path: string): string {
  if (!/^[\x21-\x7e]+$/u.test(word) || word.includes('"')) {
    throw new Error(
      `${path}: commandLine: expected a parameter without blanks and quotes, got ${JSON.stringify(word)}`,
    );
  }
  if (word === "--" || RESERVED.test(word)) throw new Error(`${path}: commandLine: ${word}: the build's own`);
  return word;
}

function fields(value: unknown, where: string, known: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error(`${where}: expected an object`);
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown !== undefined) throw new Error(`${where}: expected ${known.join(", ")}, got ${JSON.stringify(unknown)}`);
  return value as Readonly<Record<string, unknown>>;
}

function list(value: unknown, where: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new Error(`${where}: expected a list`);
  return value;
}

function texts(value: unknown, where: string): readonly string[] {
  return list(value, where).map((item) => asText(item, where));
}

function asText(value: unknown, where: string): string {
  if (typeof value !== "string" || value === "") throw new Error(`${where}: expected a text`);
  return value;
}
