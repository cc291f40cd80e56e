/** Cookies of one broker, and characters of each; a load balancer in front adds its own. */
const MAX_COOKIES = 16;
const MAX_COOKIE = 4096;

/** What a broker wants to be told again. One address is talked to, so neither paths nor domains matter. */
export class Cookies {
  readonly #values = new Map<string, string>();

  /** Takes over `set-cookie` headers; what is malformed or too much is passed over, as clients do. */
  take(headers: readonly string[]): void {
    for (const header of headers) {
      const [, name, value] = /^\s*([!#$%&'*+.^_`|~\w-]+)\s*=\s*([!#-+\--:<-[\]-~]*)\s*(?:;|$)/u.exec(header) ?? [];
      if (name === undefined || value === undefined || header.length > MAX_COOKIE) continue;
      if (value === "") this.#values.delete(name);
      else if (this.#values.has(name) || this.#values.size < MAX_COOKIES) this.#values.set(name, value);
    }
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** The header; none while there are no cookies. */
  get headers(): Readonly<Record<string, string>> {
    if (this.#values.size === 0) return {};
    return { cookie: [...this.#values].map(([name, value]) => `${name}=${value}`).join("; ") };
  }
}
