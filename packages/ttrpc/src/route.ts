import type { CallContext } from "./call.ts";
import type { RequestView } from "./message.ts";

/** The parts of a method's description that a connection uses; `MethodDescriptor` of `@nacre/protocols` has them. */
export interface RouteMethod {
  readonly service: string;
  readonly name: string;
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  decodeRequest(bytes: Uint8Array): unknown;
  encodeResponse(value: never): Uint8Array;
}

/** A method and what answers it. */
export interface Route {
  readonly method: RouteMethod;
  readonly handler: (request: never, ctx: CallContext) => unknown;
}

interface Entry {
  readonly service: Uint8Array;
  readonly method: Uint8Array;
  readonly route: Route;
}

/** Finds a route by the bytes of the two names, so that the usual request makes no string. */
export class RouteTable {
  readonly #services = new Set<string>();
  readonly #buckets = new Map<number, Entry[]>();

  addService(name: string): void {
    this.#services.add(name);
  }

  hasService(name: string): boolean {
    return this.#services.has(name);
  }

  add(route: Route): void {
    const encoder = new TextEncoder();
    const service = encoder.encode(route.method.service);
    const method = encoder.encode(route.method.name);
    const key = hash(method, 0, method.length, service.length);
    const bucket = this.#buckets.get(key) ?? [];
    this.#buckets.set(key, bucket);
    bucket.push({ service, method, route });
  }

  find(b: Uint8Array, v: RequestView): Route | undefined {
    const bucket = this.#buckets.get(hash(b, v.methodStart, v.methodEnd, v.serviceEnd - v.serviceStart));
    if (bucket === undefined) return undefined;
    for (const e of bucket) {
      if (equal(e.method, b, v.methodStart, v.methodEnd) && equal(e.service, b, v.serviceStart, v.serviceEnd)) {
        return e.route;
      }
    }
    return undefined;
  }
}

/** FNV-1a over the method's name, seeded with the service's length; the names of one table are our own. */
function hash(b: Uint8Array, start: number, end: number, seed: number): number {
  let h = 0x811c9dc5 ^ seed;
  for (let i = start; i < end; i++) h = Math.imul(h ^ (b[i] as number), 0x01000193);
  return h;
}

function equal(name: Uint8Array, b: Uint8Array, start: number, end: number): boolean {
  if (name.length !== end - start) return false;
  for (let i = 0; i < name.length; i++) if (name[i] !== b[start + i]) return false;
  return true;
}
