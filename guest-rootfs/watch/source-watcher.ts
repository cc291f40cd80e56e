import { type FSWatcher, watch } from "node:fs";
import { dirname, join } from "node:path";

import { ROOT } from "../paths.ts";

/**
 * Tells when sources change, by the kernel's events on their folders (inotify): editors replace files rather than write
 * them. What changes while nobody waits is told to whoever waits next.
 */
export class SourceWatcher {
  readonly #watchers = new Map<string, FSWatcher>();
  #sources: ReadonlySet<string> = new Set();
  #changed = new Set<string>();
  #wake: () => void = () => {};

  /** The sources to look after from now on, relative to the repository; those of npm packages are none of ours. */
  follow(sources: ReadonlySet<string>): void {
    this.#sources = new Set([...sources].filter((path) => !path.startsWith("node_modules/")));
    const folders = new Set([...this.#sources].map((path) => dirname(path)));
    for (const [folder, watcher] of this.#watchers) {
      if (folders.has(folder)) continue;
      watcher.close();
      this.#watchers.delete(folder);
    }
    for (const folder of folders) if (!this.#watchers.has(folder)) this.#watch(folder);
  }

  /** Whether something has changed that nobody has been told of. */
  get pending(): boolean {
    return this.#changed.size > 0;
  }

  /** Resolves with the paths that have changed, when there is one. */
  async next(): Promise<ReadonlySet<string>> {
    if (!this.pending) await new Promise<void>((resolve) => (this.#wake = resolve));
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  }

  close(): void {
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #watch(folder: string): void {
    const watcher = watch(join(ROOT, folder), (_event, name) => {
      if (name === null) return;
      const path = join(folder, name);
      // A file that is not among the sources may be the one that the last build has missed.
      if (!this.#sources.has(path) && !/\.[cm]?[jt]s$|\.json$/u.test(name)) return;
      this.#changed.add(path);
      this.#wake();
    });
    // A folder that goes takes its sources along, which shows when they are built.
    watcher.on("error", () => watcher.close());
    this.#watchers.set(folder, watcher);
  }
}
