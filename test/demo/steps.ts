/** Tells each step of the demo with the time that it took. */
export class Steps {
  readonly #begin: number = performance.now();
  #count = 0;

  /** Runs one step; its own text says what came out. */
  async step<T>(title: string, work: () => Promise<T>, tell?: (result: T) => string): Promise<T> {
    this.#count += 1;
    const begin = performance.now();
    process.stdout.write(`${String(this.#count).padStart(2)}  ${title}\n`);
    const result = await work();
    const text = tell?.(result) ?? "";
    for (const line of text.split("\n").filter(Boolean)) process.stdout.write(`      ${line}\n`);
    process.stdout.write(`      ${seconds(performance.now() - begin)}\n`);
    return result;
  }

  total(): string {
    return seconds(performance.now() - this.#begin);
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
