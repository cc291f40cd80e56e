import { Code, decode, type Init, type MethodDescriptor } from "@nacre/protocols";
import { type Clock, systemClock } from "./clock.ts";
import { Deadlines, type Expiring } from "./deadlines.ts";
import { RpcError, type StatusDetail } from "./error.ts";
import { FrameDecoder, FrameType, MAX_MESSAGE_LENGTH, oversizeText } from "./frame.ts";
import { FrameWriter } from "./frame-writer.ts";
import {
  decodeResponse,
  encodeRequestTail,
  encodeRoute,
  type ResponseView,
  varintLength,
  writeVarint,
} from "./message.ts";
import type { Transport } from "./transport.ts";

/** Options of a {@link TtrpcClient}. */
export interface ClientOptions {
  /** Time for deadlines; default the machine's monotonic clock. */
  readonly clock?: Clock;
  /** Bytes of requests that wait for a server that does not read; above it calls fail. Default 64 MiB. */
  readonly maxUnsentBytes?: number;
}

/** Options of one call. */
export interface CallOptions {
  /** How long to wait; sent to the server too. 0 or absent: for ever. */
  readonly timeoutMs?: number | undefined;
  /** Gives up waiting. ttRPC cannot tell the server: it finishes the call and its reply is dropped. */
  readonly signal?: AbortSignal | undefined;
  /** Pairs sent with the request. */
  readonly metadata?: ReadonlyMap<string, readonly string[]> | undefined;
}

/** The last odd 32-bit number. */
const LAST_STREAM_ID = 0xffff_ffff;
const DEFAULT_MAX_UNSENT = 64 << 20;

/** Fields 1 and 2 of the Request by method. */
const routes = new WeakMap<object, Uint8Array>();

interface Pending extends Expiring {
  readonly decode: (bytes: Uint8Array) => unknown;
  readonly resolve: (value: never) => void;
  readonly reject: (error: RpcError) => void;
  /** Takes the abort listener off the caller's signal. */
  readonly release: (() => void) | undefined;
}

/** The calling side of one connection. */
export class TtrpcClient {
  /** Resolves when the connection is over. Never rejects. */
  readonly closed: Promise<void>;
  readonly #transport: Transport;
  readonly #writer: FrameWriter;
  readonly #clock: Clock;
  readonly #deadlines: Deadlines;
  readonly #maxUnsent: number;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #over: RpcError | undefined;
  #tellClosed: () => void = () => {};

  constructor(transport: Transport, opts: ClientOptions = {}) {
    this.#transport = transport;
    this.#writer = new FrameWriter(transport);
    this.#clock = opts.clock ?? systemClock;
    this.#deadlines = new Deadlines(this.#clock);
    this.#maxUnsent = opts.maxUnsentBytes ?? DEFAULT_MAX_UNSENT;
    this.closed = new Promise((resolve) => {
      this.#tellClosed = resolve;
    });
    const decoder = new FrameDecoder({
      frame: (id, type, _flags, buffer, start, end, owned) => this.#frame(id, type, buffer, start, end, owned),
      oversize: (id, _type, length) =>
        this.#settle(id)?.reject(new RpcError(Code.RESOURCE_EXHAUSTED, oversizeText(length))),
    });
    transport.start({
      data: (chunk) => decoder.push(chunk),
      end: () => this.#finish(new RpcError(Code.UNAVAILABLE, "connection closed by the server")),
      close: (err) => this.#finish(new RpcError(Code.UNAVAILABLE, "connection closed", { cause: err }), true),
      drain: () => this.#writer.drained(),
    });
  }

  /** Calls that wait for their reply. */
  get inFlight(): number {
    return this.#pending.size;
  }

  /**
   * Calls a method. Rejects with {@link RpcError}: the server's status; DEADLINE_EXCEEDED, CANCELLED (signal),
   * UNAVAILABLE (connection over), RESOURCE_EXHAUSTED (reply too long, or too much waits to be sent), INVALID_ARGUMENT
   * (request too long), INTERNAL (the reply does not decode). Throws what the encoder throws when `request` does not fit.
   */
  call<Req, Res>(method: MethodDescriptor<Req, Res>, request: Init<Req>, opts: CallOptions = {}): Promise<Res> {
    const { timeoutMs = 0, signal, metadata } = opts;
    if (method.requestStream || method.responseStream) {
      return refuse(Code.UNIMPLEMENTED, `streaming is not supported: ${method.path}`);
    }
    if (signal?.aborted === true) return refuse(Code.CANCELLED, "call cancelled", signal.reason);
    if (this.#over !== undefined) return refuse(this.#over.code, this.#over.message, this.#over.cause);
    if (this.#nextId > LAST_STREAM_ID) return refuse(Code.UNAVAILABLE, "stream ids used up: connect again");
    if (this.#writer.unsent > this.#maxUnsent) {
      return refuse(Code.RESOURCE_EXHAUSTED, `${this.#writer.unsent} bytes of requests wait to be sent`);
    }

    const payload = method.encodeRequest(request);
    const parts = requestParts(method, payload, timeoutMs, metadata);
    const length = parts.reduce((n, p) => n + p.length, 0);
    if (length > MAX_MESSAGE_LENGTH) return refuse(Code.INVALID_ARGUMENT, oversizeText(length));

    const id = this.#nextId;
    this.#nextId += 2;
    return new Promise<Res>((resolve, reject) => {
      const abort = (): void => {
        this.#settle(id)?.reject(new RpcError(Code.CANCELLED, "call cancelled", { cause: signal?.reason }));
      };
      const pending: Pending = {
        at: timeoutMs > 0 ? this.#clock.now() + timeoutMs : Infinity,
        slot: -1,
        expire: () => this.#settle(id)?.reject(new RpcError(Code.DEADLINE_EXCEEDED, "timeout")),
        decode: (bytes) => method.decodeResponse(bytes),
        resolve,
        reject,
        release: signal === undefined ? undefined : (): void => signal.removeEventListener("abort", abort),
      };
      this.#pending.set(id, pending);
      if (pending.at !== Infinity) this.#deadlines.add(pending);
      signal?.addEventListener("abort", abort);
      this.#writer.frame(id, FrameType.REQUEST, parts);
    });
  }

  /** Drops the connection; calls that wait reject with CANCELLED. */
  close(): void {
    this.#finish(new RpcError(Code.CANCELLED, "client closed"));
  }

  #frame(id: number, type: number, buffer: Uint8Array, start: number, end: number, owned: boolean): void {
    // Replies to calls that were given up, and frames of other types on no stream of ours, are ignored.
    const pending = type === FrameType.RESPONSE || type === FrameType.DATA ? this.#settle(id) : undefined;
    if (pending === undefined) return;
    if (type === FrameType.DATA) {
      return pending.reject(new RpcError(Code.INTERNAL, "expected a response, got stream data"));
    }
    const response = decodeResponse(buffer, start, end);
    if (typeof response === "string") return pending.reject(new RpcError(Code.INTERNAL, `reply: ${response}`));
    if (response.code !== Code.OK) {
      return pending.reject(new RpcError(response.code as Code, response.message, { details: details(response) }));
    }
    try {
      // The chunk's memory is the transport's, and decoded bytes may be views of it.
      const payload = owned ? response.payload : new Uint8Array(response.payload);
      pending.resolve(pending.decode(payload) as never);
    } catch (error) {
      pending.reject(new RpcError(Code.INTERNAL, "reply does not decode", { cause: error }));
    }
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    if (pending === undefined) return undefined;
    this.#pending.delete(id);
    this.#deadlines.remove(pending);
    pending.release?.();
    return pending;
  }

  #finish(reason: RpcError, transportClosed = false): void {
    if (this.#over === undefined) {
      this.#over = reason;
      for (const id of this.#pending.keys()) this.#settle(id)?.reject(reason);
      this.#deadlines.stop();
      this.#writer.clear();
      // No call is left that would read on; half-open use ends here.
      if (!transportClosed) this.#transport.destroy();
    }
    if (transportClosed) this.#tellClosed();
  }
}

/** A peer's detail that does not decode says nothing. */
function details(response: ResponseView): StatusDetail[] {
  return response.details.flatMap((bytes) => {
    try {
      const { type_url, value } = decode("google.rpc.Detail", bytes) as StatusDetail;
      return [{ type_url, value: value.slice() }];
    } catch {
      return [];
    }
  });
}

function refuse(code: Code, message: string, cause?: unknown): Promise<never> {
  return Promise.reject(new RpcError(code, message, cause === undefined ? {} : { cause }));
}

function requestParts(
  method: { readonly service: string; readonly name: string },
  payload: Uint8Array,
  timeoutMs: number,
  metadata: ReadonlyMap<string, readonly string[]> | undefined,
): Uint8Array[] {
  let route = routes.get(method);
  if (route === undefined) {
    route = encodeRoute(method.service, method.name);
    routes.set(method, route);
  }
  const parts = [route];
  if (payload.length > 0) {
    const head = new Uint8Array(1 + varintLength(payload.length));
    head[0] = 0x1a;
    writeVarint(head, 1, payload.length);
    parts.push(head, payload);
  }
  if (timeoutMs > 0 || metadata !== undefined) {
    parts.push(encodeRequestTail(Math.min(Math.round(timeoutMs * 1e6), Number.MAX_SAFE_INTEGER), metadata));
  }
  return parts;
}
