import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A process of the bench that says when it is ready, and ends with its row. */
export class Child implements AsyncDisposable {
  readonly said: string;
  readonly #child: ChildProcess;
  readonly #folder: string | undefined;

  private constructor(child: ChildProcess, said: string, folder: string | undefined) {
    this.#child = child;
    this.said = said;
    this.#folder = folder;
  }

  /** `answers`: it gets a folder of its own and says its port on standard output; else it says on standard error that it listens. */
  static async start(
    [file = "", ...args]: readonly string[],
    answers: boolean,
    more: readonly string[] = [],
  ): Promise<Child> {
    const folder = answers ? mkdtempSync(join(tmpdir(), "nacre-bench-")) : undefined;
    const child = spawn(file, [...args, ...(folder === undefined ? [] : [folder]), ...more], {
      stdio: ["pipe", answers ? "pipe" : "ignore", answers ? "inherit" : "pipe"],
    });
    const said = await line(child, answers ? /^(\d+)\n/u : /(listening on)/u);
    return new Child(child, said, folder);
  }

  async ask(): Promise<string> {
    const answer = line(this.#child, /^(\d+)\n/u);
    this.#child.stdin?.write("\n");
    return await answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, "close");
    if (this.#folder === undefined) this.#child.kill("SIGTERM");
    else this.#child.stdin?.end();
    await ended;
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true });
  }
}

async function line(child: ChildProcess, expected: RegExp): Promise<string> {
  const stream = child.stdout ?? child.stderr;
  if (stream === null) throw new Error("expected a stream");
  let text = "";
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const read = (chunk: Buffer | string): void => {
    text += String(chunk);
    const [, found] = expected.exec(text) ?? [];
    if (found !== undefined) resolve(found);
  };
  const ended = (): void => reject(new Error(`a process of the bench ended: ${text}`));
  stream.on("data", read);
  child.once("close", ended);
  try {
    return await promise;
  } finally {
    stream.off("data", read);
    child.off("close", ended);
  }
}
