import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The files of an image. Each appears whole under its name: a guest that runs on the one before keeps it. */
export class ImageFolder {
  readonly #path: string;
  readonly #digests = new Map<string, string>();
  readonly #documents = new Set<string>();

  constructor(path: string) {
    mkdirSync(path, { recursive: true });
    this.#path = path;
  }

  /** Of the files that a guest is booted from, in hex. */
  get digests(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.#digests);
  }

  /** A file that a guest is booted from: its bytes, or the path where they lie. Answers with its name. */
  put(name: string, content: Buffer | string): string {
    this.#write(name, content);
    const bytes = typeof content === "string" ? readFileSync(content) : content;
    this.#digests.set(name, createHash("sha256").update(bytes).digest("hex"));
    return name;
  }

  /** A text about the image. */
  describe(name: string, text: string): void {
    this.#write(name, Buffer.from(text));
    this.#documents.add(name);
  }

  describeJson(name: string, value: unknown): void {
    this.describe(name, `${JSON.stringify(value, undefined, 2)}\n`);
  }

  /** Removes what a build before has left. */
  close(): void {
    for (const name of readdirSync(this.#path)) {
      if (!this.#digests.has(name) && !this.#documents.has(name)) rmSync(join(this.#path, name), { recursive: true });
    }
  }

  #write(name: string, content: Buffer | string): void {
    const fresh = join(this.#path, `${name}.new`);
    if (typeof content === "string") copyFileSync(content, fresh);
    else writeFileSync(fresh, content);
    renameSync(fresh, join(this.#path, name));
  }
}
