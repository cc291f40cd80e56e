import { resolve } from "node:path";

import { type Command, command } from "../command.ts";
import { print } from "../context.ts";
import { NacreError } from "../error.ts";
import { HANDLERS, parseHandler } from "../kata/handler.ts";
import { installKata, type KataInstallation, uninstallKata } from "../kata/install.ts";
import type { FileAction } from "../kata/installed-files.ts";
import { wholeNumber } from "./guest-flags.ts";

export const kataInstall: Command = command({
  name: "kata install",
  usage: "",
  summary: "Write the configuration by which a Kata runtime runs our guests",
  details: `
Writes a configuration for Kata's Go runtime (3.29 to 4.1) and a drop-in for containerd 2 for each handler, remembers
their digests, and prints the RuntimeClass and what is left to do. Again with the same options: nothing changes. Files
of others are not touched without --replace, which moves them aside until nacre kata uninstall brings them back.`,
  arity: { min: 0, max: 0 },
  flags: {
    handler: { type: "string", multiple: true, value: "NAME", help: `${HANDLERS.join(", ")}; default: remote` },
    image: { type: "string", value: "FOLDER", help: "an image that make rootfs has built; all handlers but remote" },
    kernel: { type: "string", value: "FILE", help: "guest kernel; default: the image's, where that opens the root" },
    qemu: { type: "string", value: "FILE", help: "default: Kata's own, then the distribution's" },
    firmware: { type: "string", value: "FILE", help: "of a confidential guest; default: Kata's own" },
    shim: { type: "string", value: "FILE", help: "containerd-shim-kata-v2; default: where Kata puts it" },
    socket: { type: "string", value: "PATH", help: "remote: where nacre hypervisor serve listens" },
    "kernel-param": { type: "string", multiple: true, value: "KEY=VALUE", help: "kernel parameter of every guest" },
    memory: { type: "string", value: "MIB", help: "of a guest, beside its containers' limits; default: 512" },
    vcpus: { type: "string", value: "N", help: "of a guest, beside its containers' limits; default: 1" },
    "create-timeout": { type: "string", value: "SECONDS", help: "for making a container, pull included; default: 600" },
    "containerd-version": { type: "string", value: "X.Y", help: "default: what containerd says" },
    root: { type: "string", value: "FOLDER", help: "look and write below this folder" },
    replace: { type: "boolean", help: "take the place of files that are in the way" },
    "dry-run": { type: "boolean", help: "only tell what would be done" },
  },
  async run({ flags }, context) {
    const number = (flag: "memory" | "vcpus" | "create-timeout"): number | undefined =>
      flags[flag] === undefined ? undefined : wholeNumber(`--${flag}`, flags[flag]);
    const installation = await installKata({
      handlers: [...new Set(flags.handler.length === 0 ? ["remote" as const] : flags.handler.map(parseHandler))],
      root: rootFolder(flags.root, flags["dry-run"]),
      image: flags.image,
      kernel: flags.kernel,
      hypervisor: flags.qemu,
      firmware: flags.firmware,
      shim: flags.shim,
      socket: flags.socket,
      kernelParams: flags["kernel-param"].map(kernelParameter),
      memory: number("memory"),
      vcpus: number("vcpus"),
      createContainerTimeout: number("create-timeout"),
      containerdVersion: flags["containerd-version"],
      replace: flags.replace,
      dryRun: flags["dry-run"],
    });
    print(context, { dryRun: flags["dry-run"], ...installation }, installationText(installation));
  },
});

export const kataUninstall: Command = command({
  name: "kata uninstall",
  usage: "",
  summary: "Take back what nacre kata install has written, and restore what it replaced",
  details: "Exit status 1 when files were kept because they were changed since.",
  arity: { min: 0, max: 0 },
  flags: {
    root: { type: "string", value: "FOLDER", help: "as for nacre kata install" },
    force: { type: "boolean", help: "also files that were changed since" },
    "dry-run": { type: "boolean", help: "only tell what would be done" },
  },
  run({ flags }, context) {
    const dryRun = flags["dry-run"];
    const files = uninstallKata({ root: rootFolder(flags.root, dryRun), force: flags.force, dryRun });
    const kept = files.some(({ action }) => action === "keep");
    print(context, { dryRun, files }, files.length === 0 ? "nothing is installed" : filesText(files));
    return Promise.resolve(kept ? 1 : 0);
  },
});

function rootFolder(root: string | undefined, dryRun: boolean): string {
  const folder = resolve(root ?? "/");
  if (folder === "/" && !dryRun && process.getuid?.() !== 0) {
    throw new NacreError("environment", "kata: expected root, or --root FOLDER");
  }
  return folder;
}

/** The runtime parts the line at blanks, and the kernel takes quotes apart. */
function kernelParameter(text: string): string {
  if (!/^[!-~]+$/u.test(text) || text.includes('"')) {
    throw new NacreError("usage", `--kernel-param: expected one word without quotes, got ${JSON.stringify(text)}`);
  }
  return text;
}

function filesText(files: readonly FileAction[]): string {
  return files
    .map(({ path, action, reason }) => `${action.padEnd(9)} ${path}${reason === undefined ? "" : `: ${reason}`}`)
    .join("\n");
}

function installationText({ files, next, containerdTables, runtimeClasses }: KataInstallation): string {
  return [
    filesText(files),
    `\nNext:\n${next.map((step) => `- ${step}`).join("\n")}`,
    ...(containerdTables === undefined ? [] : [`\nFor containerd:\n\n${containerdTables}`]),
    `\nRuntimeClass:\n\n${runtimeClasses}`,
  ].join("\n");
}
