import { type BuildContext, type BuildFailure, context, formatMessages } from "esbuild";

import { bundleOptions, type Entry } from "../bundle.ts";
import { BUNDLES } from "../paths.ts";

/** What a rebuild has made anew. */
export interface Rebuilt {
  /** Names of entries whose code is another than before. */
  readonly changed: readonly string[];
}

/** Code and source map of an entry as they were built last. */
export interface Output {
  readonly code: Uint8Array;
  readonly map: Uint8Array;
}

/** Sources that do not build. Its message is what the compiler says, for a terminal. */
export class SourceError extends Error {
  override readonly name = "SourceError";
}

/** Bundles that are made again quickly: esbuild keeps what has not changed. */
export class IncrementalBundles {
  readonly #contexts = new Map<Entry, BuildContext<ReturnType<typeof bundleOptions>>>();
  readonly #outputs = new Map<string, Output>();
  readonly #inputs = new Map<string, ReadonlySet<string>>();

  private constructor() {}

  /** For the devkit flavour: others are not for trying things. Nothing is built yet. */
  static async open(entries: readonly Entry[]): Promise<IncrementalBundles> {
    const bundles = new IncrementalBundles();
    for (const entry of entries) {
      const options = bundleOptions(entry, "devkit", BUNDLES);
      bundles.#contexts.set(entry, await context({ ...options, logLevel: "silent" }));
    }
    return bundles;
  }

  /** The sources of everything, relative to the repository, as far as they have been built. */
  get inputs(): ReadonlySet<string> {
    return new Set([...this.#inputs.values()].flatMap((inputs) => [...inputs]));
  }

  output(name: string): Output {
    const output = this.#outputs.get(name);
    if (output === undefined) throw new Error(`bundle ${name}: expected it to be built`);
    return output;
  }

  /** Builds what a change may concern: the entries that have one of these sources; all, without any. */
  async rebuild(paths: ReadonlySet<string> = new Set()): Promise<Rebuilt> {
    const concerned = [...this.#contexts].filter(
      ([{ name }]) => paths.size === 0 || [...paths].some((path) => this.#inputs.get(name)?.has(path) ?? true),
    );
    const results = await Promise.all(concerned.map(([{ name }, made]) => this.#rebuildOne(name, made)));
    return { changed: results.flat() };
  }

  async close(): Promise<void> {
    for (const made of this.#contexts.values()) await made.dispose();
  }

  async #rebuildOne(name: string, made: BuildContext<ReturnType<typeof bundleOptions>>): Promise<readonly string[]> {
    let result: Awaited<ReturnType<typeof made.rebuild>>;
    try {
      result = await made.rebuild();
    } catch (error) {
      const { errors } = error as BuildFailure;
      if (!Array.isArray(errors)) throw error;
      // Whatever is mended, this one is tried again.
      this.#inputs.delete(name);
      throw new SourceError((await formatMessages(errors, { kind: "error", color: false })).join("").trim());
    }
    // What the bundler makes up (node's own modules) is no file: `namespace:name`.
    const files = Object.keys(result.metafile.inputs).filter((path) => !/^\w+:/u.test(path));
    this.#inputs.set(name, new Set(files));
    const file = (end: string): Uint8Array =>
      result.outputFiles.find(({ path }) => path.endsWith(end))?.contents ?? new Uint8Array();
    const output = { code: file(".mjs"), map: file(".map") };
    const before = this.#outputs.get(name);
    this.#outputs.set(name, output);
    return before !== undefined && Buffer.compare(before.code, output.code) === 0 ? [] : [name];
  }
}
