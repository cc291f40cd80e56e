import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, isAbsolute, join, normalize, resolve } from "node:path";
import { parseArgs } from "node:util";

import { bundle } from "./bundle.ts";
import { type Flavour, parseFlavour } from "./flavour.ts";
import { type Entry, manifest, text } from "./manifest.ts";
import { buildProgram, stripNode } from "./programs.ts";
import { machineSources } from "./sources.ts";
import { AGENT_TARGET, agentService, UNIT_FOLDER } from "./systemd.ts";

/** What was installed, for `make uninstall` and for bills of materials. */
export const INSTALLED = "/usr/lib/nacre/installed.json";
/** Where the manifest has the interpreter, and what the first line of each program names. */
const NODE = "/usr/bin/node";
const OURS = "/usr/lib/nacre/";
/** What a daemon reads of an image, and the sandbox's process. */
const CONFIGURATION: readonly string[] = ["/pause_bundle/", "/etc/kata-opa/", "/etc/ocicrypt"];
/** The kernel reads so much of a first line, with `#!`, the flag and the line's end. */
const MAX_INTERPRETER = 80;

/** How the daemons are put into somebody else's image. */
export interface InstallOptions {
  /** The image's root directory. */
  readonly destdir: string;
  /** Whose bundles; they must have been made. Default: kata, what upstream's image may do. */
  readonly flavour?: Flavour;
  /** Path of Node 24 in the image. Default: /usr/bin/node. */
  readonly interpreter?: string;
  /** Whether to install Node there. Default: yes. */
  readonly node?: boolean;
  /** Whether to install the units. Default: yes. */
  readonly systemd?: boolean;
}

interface InstalledEntry {
  readonly path: string;
  /** Of a file. */
  readonly sha256?: string;
  /** Of a link. */
  readonly target?: string;
}

interface Installation {
  readonly entries: readonly InstalledEntry[];
  /** Folders that were made, outermost first. */
  readonly folders: readonly string[];
}

/** The entries of an installation: what the guest's manifest has of ours, under the same paths. */
export function installedEntries(options: InstallOptions): readonly Entry[] {
  const interpreter = options.interpreter ?? NODE;
  if (!isAbsolute(interpreter) || normalize(interpreter) !== interpreter || /[\s%$"'\\]/u.test(interpreter)) {
    throw new Error(`interpreter: expected a plain absolute path without blanks, got ${JSON.stringify(interpreter)}`);
  }
  if (interpreter.length > MAX_INTERPRETER) {
    throw new Error(`interpreter: expected at most ${MAX_INTERPRETER} characters, got ${interpreter.length}`);
  }
  const entries = manifest({ sources: machineSources(), flavour: options.flavour ?? "kata", init: "nvrc" }).flatMap(
    (entry) => ours(entry, interpreter, options.node ?? true),
  );
  if (options.systemd === false) return entries;
  return [
    ...entries,
    text(`${UNIT_FOLDER}/kata-agent.service`, agentService(interpreter)),
    text(`${UNIT_FOLDER}/kata-containers.target`, AGENT_TARGET),
  ];
}

/** An image with another init has no use for ours, and brings certificates and an OCI runtime of its own. */
function ours(entry: Entry, interpreter: string, node: boolean): readonly Entry[] {
  const { path, type } = entry;
  if (type === "directory") return [];
  if (basename(path, ".mjs") === "nvrc") return [];
  if (path === NODE) return node ? [{ ...entry, path: interpreter }] : [];
  const program = type === "link" && join(dirname(path), entry.target).startsWith(OURS);
  const data = path.startsWith(OURS) || CONFIGURATION.some((prefix) => path.startsWith(prefix));
  if (!program && !data) return [];
  if (type !== "file" || !path.endsWith(".mjs") || interpreter === NODE) return [entry];
  const [first = "", ...rest] = readFileSync(entry.source.path, "latin1").split("\n");
  // A worker's file is loaded, not started.
  if (!first.startsWith(`#!${NODE} `)) return [entry];
  const content = Buffer.from([first.replace(NODE, interpreter), ...rest].join("\n"), "latin1");
  return [{ type: "text", path, mode: entry.mode, content, origin: entry.source.origin }];
}

/** Installs; again, it brings the files up to date. Resolves with what was done, a line a path. */
export function install(options: InstallOptions): readonly string[] {
  buildProgram("pause");
  stripNode();
  const root = rootFolder(options.destdir);
  mkdirSync(root, { recursive: true });
  const before = readInstallation(root);
  const lines: string[] = [];
  const folders = [...before.folders];
  const entries = installedEntries(options).map((entry): InstalledEntry => {
    folders.push(...makeFolders(root, dirname(entry.path)));
    const known = before.entries.find(({ path }) => path === entry.path);
    const wanted = described(entry);
    const state = present(root, wanted, known);
    if (state === "edited") lines.push(`kept       ${entry.path}: it was changed since`);
    else if (state === "other" && entry.path.startsWith("/etc/")) {
      // Configuration of the image's owner.
      lines.push(`kept       ${entry.path}: it is not ours`);
      return known ?? { path: entry.path };
    } else if (state !== "same") {
      place(root, entry);
      lines.push(`installed  ${entry.path}`);
    }
    return state === "edited" && known !== undefined ? known : wanted;
  });
  const gone = before.entries.filter(({ path }) => !entries.some((entry) => entry.path === path));
  lines.push(...gone.flatMap((entry) => remove(root, entry)));
  const installation: Installation = { entries: entries.filter((entry) => Object.keys(entry).length > 1), folders };
  writeFileSync(join(root, INSTALLED), `${JSON.stringify(installation, undefined, 1)}\n`, { mode: 0o644 });
  return lines;
}

/** Takes away what was installed and has not been changed since. Resolves with what was done, a line a path. */
export function uninstall(destdir: string): readonly string[] {
  const root = rootFolder(destdir);
  const { entries, folders } = readInstallation(root);
  const lines = entries.flatMap((entry) => remove(root, entry));
  rmSync(join(root, INSTALLED), { force: true });
  for (const folder of folders.toReversed()) {
    try {
      rmdirSync(join(root, folder));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOTEMPTY" && code !== "ENOENT") throw error;
    }
  }
  return lines;
}

function remove(root: string, entry: InstalledEntry): readonly string[] {
  const state = present(root, entry, entry);
  if (state === "absent") return [];
  if (state !== "same") return [`kept       ${entry.path}: it was changed since`];
  rmSync(join(root, entry.path));
  return [`removed    ${entry.path}`];
}

/** What lies at a path: nothing, what is wanted, what we put there before, that edited, or somebody else's. */
function present(
  root: string,
  wanted: InstalledEntry,
  known: InstalledEntry | undefined,
): "absent" | "same" | "ours" | "edited" | "other" {
  const at = join(root, wanted.path);
  const status = lstatSync(at, { throwIfNoEntry: false });
  if (status === undefined) return "absent";
  if (!status.isFile() && !status.isSymbolicLink()) throw new Error(`${at}: expected a file, a link or nothing`);
  const found: InstalledEntry = status.isFile()
    ? { path: wanted.path, sha256: sha256(readFileSync(at)) }
    : { path: wanted.path, target: readlinkSync(at) };
  if (same(found, wanted)) return "same";
  if (known === undefined) return "other";
  return same(found, known) ? "ours" : "edited";
}

function same(a: InstalledEntry, b: InstalledEntry): boolean {
  return a.sha256 === b.sha256 && a.target === b.target;
}

function described(entry: Entry): InstalledEntry {
  switch (entry.type) {
    case "link":
      return { path: entry.path, target: entry.target };
    case "text":
      return { path: entry.path, sha256: sha256(Buffer.from(entry.content)) };
    case "file":
      return { path: entry.path, sha256: sha256(readFileSync(entry.source.path)) };
    case "directory":
      throw new TypeError(`${entry.path}: expected no directory`);
  }
}

/** Under a name of its own until it is whole. */
function place(root: string, entry: Entry): void {
  const target = join(root, entry.path);
  const fresh = `${target}.nacre-new`;
  rmSync(fresh, { force: true });
  if (entry.type === "link") symlinkSync(entry.target, fresh);
  else if (entry.type !== "directory") {
    if (entry.type === "text") writeFileSync(fresh, entry.content);
    else copyFileSync(entry.source.path, fresh);
    chmodSync(fresh, entry.mode);
  }
  renameSync(fresh, target);
}

/** Makes what is missing of a folder and those above it; those, outermost first. */
function makeFolders(root: string, folder: string): string[] {
  if (folder === "/" || lstatSync(join(root, folder), { throwIfNoEntry: false }) !== undefined) return [];
  const above = makeFolders(root, dirname(folder));
  mkdirSync(join(root, folder), { mode: 0o755 });
  return [...above, folder];
}

function readInstallation(root: string): Installation {
  try {
    return JSON.parse(readFileSync(join(root, INSTALLED), "utf8")) as Installation;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { entries: [], folders: [] };
    throw new Error(`${join(root, INSTALLED)}: expected the record of an installation`, { cause: error });
  }
}

/** Nobody installs into the running machine by leaving something out. */
function rootFolder(destdir: string): string {
  if (destdir === "") throw new Error("DESTDIR: expected the image's root directory; DESTDIR=/ is this machine's");
  return resolve(destdir);
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      destdir: { type: "string", default: "" },
      interpreter: { type: "string", default: NODE },
      node: { type: "string", default: "yes" },
      systemd: { type: "string", default: "yes" },
      uninstall: { type: "boolean", default: false },
      flavour: { type: "string", default: "kata" },
    },
  });
  try {
    const { destdir, interpreter, node, systemd } = values;
    const flavour = parseFlavour(values.flavour);
    if (!values.uninstall) await bundle(flavour);
    const lines = values.uninstall
      ? uninstall(destdir)
      : install({ destdir, flavour, interpreter, node: node !== "no", systemd: systemd !== "no" });
    process.stdout.write(lines.map((line) => `${line}\n`).join(""));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
