import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { basename, join, normalize } from "node:path";

/** The layer of each package (ARCHITECTURE). A package imports from layers below its own. */
export const layers: ReadonlyMap<string, number> = new Map([
  ["@nacre/protocols", 0],
  ["regorus-wasm", 0],
  ["@nacre/ttrpc", 1],
  ["oci-client", 1],
  ["@nacre/ocicrypt", 1],
  ["@nacre/agent-policy", 1],
  ["@nacre/kbs-protocol", 1],
  ["@nacre/genpolicy", 1],
  ["@nacre/kata-sys-util", 2],
  ["@nacre/kbs-client", 2],
  ["@nacre/attesters", 2],
  ["@nacre/vsock", 2],
  ["@nacre/image-puller", 2],
  ["@nacre/nvrc", 3],
  ["@nacre/kata-agent", 3],
  ["@nacre/attestation-agent", 3],
  ["@nacre/confidential-data-hub", 3],
  ["@nacre/api-server-rest", 3],
  ["@nacre/trustee", 3],
  ["@nacre/cli", 3],
]);

/** Siblings on one layer that may import each other all the same: the first from the second. */
const siblings: ReadonlySet<string> = new Set([
  "@nacre/vsock @nacre/kata-sys-util",
  "@nacre/image-puller @nacre/kata-sys-util",
  // Both are of the host; the command starts the broker in its own process.
  "@nacre/cli @nacre/trustee",
  // Who seals secrets speaks the formats, and to the services, of the hub that unseals them.
  "@nacre/cli @nacre/confidential-data-hub",
  "@nacre/attesters @nacre/kata-sys-util",
]);

/** Up to this layer bytes, fetch and clocks come in as ports. */
const LAST_WITHOUT_IO = 1;
const IO = /^(?:node:)?(?:net|fs|fs\/promises|child_process|https?|http2|dgram|tls|cluster|worker_threads)$/u;

/** The one package that may call the C library. */
const NATIVE: ReadonlyMap<string, string> = new Map([["koffi", "@nacre/kata-sys-util"]]);

export interface Import {
  /** Relative to the package's folder. */
  readonly file: string;
  readonly specifier: string;
}

export interface PackageFacts {
  readonly name: string;
  readonly dependencies: readonly string[];
  /** Names of the packages that tsconfig.json refers to. */
  readonly references: readonly string[];
  readonly imports: readonly Import[];
}

/** Every module that a source file names: imports and re-exports (types too), dynamic imports, requires. */
export function importsOf(source: string): readonly string[] {
  const code = source.replaceAll(/\/\*[\s\S]*?\*\//gu, "").replaceAll(/^\s*\/\/.*$/gmu, "");
  const patterns = [
    /^\s*(?:import|export)\b[^;"'()]*?\bfrom\s*["']([^"']+)["']/gmu,
    /^\s*import\s*["']([^"']+)["']/gmu,
    /\b(?:import|require|nodeRequire)\s*\(\s*["']([^"']+)["']/gu,
  ];
  return patterns.flatMap((pattern) => [...code.matchAll(pattern)].map(([, specifier]) => specifier ?? ""));
}

/** Reads what is to be checked from the packages' folder. */
export function readPackages(folder: string): readonly PackageFacts[] {
  const folders = readdirSync(folder).filter((name) => existsSync(join(folder, name, "package.json")));
  const names = new Map(folders.map((name) => [name, readJson(join(folder, name, "package.json")).name ?? name]));
  return folders.map((name) => {
    const home = join(folder, name);
    const references = readJson(join(home, "tsconfig.json")).references ?? [];
    return {
      name: names.get(name) ?? name,
      dependencies: Object.keys(readJson(join(home, "package.json")).dependencies ?? {}),
      references: references.map(({ path }) => names.get(basename(path)) ?? path),
      imports: globSync("src/**/*.{ts,mts,js,mjs}", { cwd: home }).flatMap((file) =>
        importsOf(readFileSync(join(home, file), "utf8")).map((specifier) => ({ file, specifier })),
      ),
    };
  });
}

/** What breaks the graph, a sentence each. None: it holds. */
export function violations(packages: readonly PackageFacts[]): readonly string[] {
  return packages.flatMap((facts) => {
    const own = layers.get(facts.name);
    if (own === undefined) return [`${facts.name}: expected a package of the layer table`];
    return [
      ...facts.dependencies.flatMap((name) => layerViolation(facts.name, own, name, "package.json")),
      ...facts.references.flatMap((name) => layerViolation(facts.name, own, name, "tsconfig.json")),
      ...facts.imports.flatMap((entry) => importViolations(facts, own, entry)),
    ];
  });
}

function importViolations(facts: PackageFacts, own: number, { file, specifier }: Import): readonly string[] {
  const where = `${facts.name}: ${file}`;
  if (specifier.startsWith(".")) {
    const target = normalize(join(file, "..", specifier));
    return target.startsWith("src/") ? [] : [`${where} imports ${specifier}, which is outside its src`];
  }
  if (own <= LAST_WITHOUT_IO && IO.test(specifier)) {
    return [`${where} imports ${specifier}: layers 0 to ${LAST_WITHOUT_IO} do no I/O of their own`];
  }
  if (specifier.startsWith("node:")) return [];
  const name = packageName(specifier);
  const found = [...layerViolation(facts.name, own, name, file)];
  const owner = NATIVE.get(name);
  if (owner !== undefined && owner !== facts.name) found.push(`${where} imports ${name}: only ${owner} may`);
  if (!facts.dependencies.includes(name)) found.push(`${where} imports ${name}, which package.json does not list`);
  if (layers.has(name) && !facts.references.includes(name)) {
    found.push(`${where} imports ${name}, which tsconfig.json does not refer to`);
  }
  return found;
}

function layerViolation(from: string, own: number, to: string, where: string): readonly string[] {
  const other = layers.get(to);
  if (other === undefined || other < own || siblings.has(`${from} ${to}`)) return [];
  const how = other === own ? "a sibling" : "above it";
  return [`${from}: ${where} names ${to}, which is ${how} (layer ${own} and ${other})`];
}

/** `@scope/name/path` → `@scope/name` */
function packageName(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

interface Manifest {
  readonly name?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly references?: readonly { readonly path: string }[];
}

function readJson(file: string): Manifest {
  return JSON.parse(readFileSync(file, "utf8")) as Manifest;
}
