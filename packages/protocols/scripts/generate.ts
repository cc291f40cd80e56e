import { readdirSync, readFileSync, rmSync, writeFileSync, existsSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Definitions, loadDefinitions } from "./definitions.ts";
import { renderDescriptor, renderEnums, renderInterfaces, renderServices } from "./render.ts";

/**
 * Writes src/gen/ from the .proto files in protos/. With `--check` it writes nothing and exits 1 when what is committed
 * differs from what it would write.
 */
const protos: string = resolve(import.meta.dirname, "../../../protos");
const gen: string = resolve(import.meta.dirname, "../src/gen");

/** Protobuf package → name of the file and of the exported type namespace. */
const NAMESPACES: ReadonlyMap<string, string> = new Map([
  ["grpc", "grpc"],
  ["types", "types"],
  ["google.protobuf", "protobuf"],
  ["api", "image"],
  ["keyprovider", "keyprovider"],
  ["google.rpc", "status"],
  ["attestation_agent", "attestation"],
  ["hypervisor", "hypervisor"],
  ["attestation", "appraisal"],
  ["reference", "reference"],
]);

function render(definitions: Definitions): Map<string, string> {
  const files = new Map<string, string>();
  for (const [pkg, namespace] of NAMESPACES) {
    files.set(`${namespace}.ts`, renderInterfaces(definitions, pkg, NAMESPACES));
  }
  files.set("descriptor.ts", renderDescriptor(definitions));
  files.set("enums.ts", renderEnums(definitions));
  files.set("services.ts", renderServices(definitions, NAMESPACES));
  return files;
}

function committed(): Map<string, string> {
  const names = existsSync(gen) ? readdirSync(gen) : [];
  return new Map(names.map((name) => [name, readFileSync(join(gen, name), "utf8")]));
}

const wanted = render(loadDefinitions(protos));
const present = committed();
const stale = [...new Set([...wanted.keys(), ...present.keys()])].filter(
  (name) => wanted.get(name) !== present.get(name),
);
if (process.argv.includes("--check")) {
  for (const name of stale) process.stderr.write(`src/gen/${name} is not what protos/ gives: run make generate\n`);
  process.exitCode = stale.length === 0 ? 0 : 1;
} else {
  mkdirSync(gen, { recursive: true });
  for (const name of stale) {
    const text = wanted.get(name);
    if (text === undefined) rmSync(join(gen, name));
    else writeFileSync(join(gen, name), text);
  }
  process.stdout.write(`src/gen: ${stale.length} of ${wanted.size} files changed\n`);
}
