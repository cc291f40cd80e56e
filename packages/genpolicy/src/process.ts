import { GenPolicyError } from "./error.ts";
import { type Environment, expand } from "./expand.ts";
import type { Fields } from "./fields.ts";
import type { ImageFacts } from "./images.ts";
import type { Template } from "./template.ts";

/** The command line: the manifest's command and args with references replaced, in place of the image's two parts. */
export function commandLine(container: Fields, image: ImageFacts, own: Environment): readonly Template[] {
  const replaced = (name: string): readonly Template[] | undefined =>
    container.texts(name)?.map((text) => expand(text, own));
  const command = replaced("command") ?? [];
  let args = replaced("args") ?? [];
  if (command.length > 0) return [...command, ...args];
  if (args.length === 0) args = image.cmd.map((text) => [text]);
  const line = [...image.entrypoint.map((text): Template => [text]), ...args];
  if (line.length === 0) {
    throw new GenPolicyError("image", `${container.path}: neither the image nor the manifest names a command`);
  }
  return line;
}

/** Commands that probes and hooks run inside. */
export function execCommands(container: Fields): ReadonlyArray<readonly string[]> {
  // The kubelet replaces references in probes by what the manifest says in so many words, and none in hooks.
  const plain = new Map<string, Template>();
  for (const entry of container.children("env")) plain.set(entry.needed("name"), [entry.text("value") ?? ""]);
  const commands: Array<readonly string[]> = [];
  for (const probe of ["livenessProbe", "readinessProbe", "startupProbe"]) {
    const command = container.child(probe)?.child("exec")?.texts("command");
    if (command !== undefined) commands.push(command.map((text) => expandPlain(text, plain)));
  }
  const lifecycle = container.child("lifecycle");
  for (const hook of ["postStart", "preStop"]) {
    const command = lifecycle?.child(hook)?.child("exec")?.texts("command");
    if (command !== undefined) commands.push(command);
  }
  const seen = new Set<string>();
  return commands.filter((command) => {
    const key = JSON.stringify(command);
    return !seen.has(key) && seen.add(key);
  });
}

function expandPlain(text: string, plain: Environment): string {
  return expand(text, plain, false)
    .map((part) => (typeof part === "string" ? part : ""))
    .join("");
}
