import { Code, DecodeError, encode } from "@nacre/protocols";
import { Call, type CallOwner } from "./call.ts";
import type { Clock } from "./clock.ts";
import type { Deadlines } from "./deadlines.ts";
import { MAX_STATUS_TEXT, RpcError } from "./error.ts";
import { FrameDecoder, type FrameSink, FrameType, MAX_MESSAGE_LENGTH, oversizeText } from "./frame.ts";
import { FrameWriter } from "./frame-writer.ts";
import { decodeRequest, RequestView, text, varintLength } from "./message.ts";
import type { Route, RouteTable } from "./route.ts";
import type { Transport } from "./transport.ts";

/** How much of one connection a server takes on. */
export interface ConnectionLimits {
  /**
   * Requests in flight above which reading stops. High, because WaitProcess, GetOOMEvent and Read* wait as long as a
   * container lives, three for each process. Default 4096.
   */
  readonly maxInFlight: number;
  /** Bytes of requests in flight above which reading stops. Default 64 MiB, 16 messages of the largest size. */
  readonly maxInFlightBytes: number;
  /**
   * Bytes of replies that wait for a peer that does not read; above it the connection is dropped. Default 64 MiB:
   * reading stops long before, so only replies to requests already taken can come to that much.
   */
  readonly maxUnsentBytes: number;
  /**
   * How long, in milliseconds, handlers may go on after their client closed its sending side and they were told to
   * stop; then the connection is dropped. Default 5000.
   */
  readonly halfOpenMs: number;
}

/** What a connection needs from its server. */
export interface ConnectionHost {
  readonly routes: RouteTable;
  readonly limits: ConnectionLimits;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  /** A handler failed with something that is no {@link RpcError}. */
  failed(error: unknown, method: string): void;
  /** The connection is over. */
  gone(connection: ServerConnection): void;
}

/** No bytes: the payload of a request that has none. */
const EMPTY = new Uint8Array(0);

/**
 * The server's side of one connection. Replies go out in the order in which handlers finish; a handler that answers
 * without a promise is answered in the same turn, together with all others of the same chunk, in one write.
 */
export class ServerConnection {
  /** Resolves when both directions are over. Never rejects. */
  readonly closed: Promise<void>;
  readonly #host: ConnectionHost;
  readonly #transport: Transport;
  readonly #writer: FrameWriter;
  readonly #view = new RequestView();
  readonly #owner: CallOwner;
  /** Calls that were not answered in their own turn, by stream id. */
  readonly #calls = new Map<number, Call>();
  /** Handlers that still run: more than `#calls` when a deadline ended some calls whose handler does not stop. */
  #running = 0;
  #runningBytes = 0;
  /** The clock at the current chunk, read at most once; -1: not yet. */
  #now = -1;
  #paused = false;
  #state: "open" | "draining" | "ended" | "closed" = "open";
  #tellClosed: () => void = () => {};
  #cancelHalfOpen: (() => void) | undefined;

  constructor(host: ConnectionHost, transport: Transport) {
    this.#host = host;
    this.#transport = transport;
    this.#writer = new FrameWriter(transport);
    this.#owner = { clock: host.clock, expired: (call) => this.#expired(call) };
    this.closed = new Promise((resolve) => {
      this.#tellClosed = resolve;
    });
    const sink: FrameSink = {
      frame: (id, type, flags, buffer, start, end, owned) => this.#frame(id, type, buffer, start, end, owned),
      oversize: (id, _type, length) => this.#writer.status(id, Code.INVALID_ARGUMENT, oversizeText(length)),
    };
    const decoder = new FrameDecoder(sink);
    transport.start({
      data: (chunk) => this.#data(decoder, chunk),
      end: () => this.#end(),
      close: (err) => this.#close(err),
      drain: () => {
        this.#writer.drained();
        this.#regulate();
        this.#endWhenIdle();
      },
    });
  }

  /** Handlers that have not finished. */
  get inFlight(): number {
    return this.#running;
  }

  /** Refuses new requests (UNAVAILABLE), answers the ones in flight, then ends the connection. */
  drain(): void {
    if (this.#state !== "open") return;
    this.#state = "draining";
    this.#endWhenIdle();
  }

  /** Aborts what is in flight and drops the connection. */
  destroy(err?: Error): void {
    this.#transport.destroy(err);
    this.#close(err);
  }

  #data(decoder: FrameDecoder, chunk: Uint8Array): void {
    if (this.#state === "ended" || this.#state === "closed") return;
    this.#now = -1;
    this.#writer.hold();
    decoder.push(chunk);
    this.#writer.release();
    this.#regulate();
  }

  #end(): void {
    if (this.#state === "ended" || this.#state === "closed") return;
    // A client that is gone and one that only closed its sending side look the same here. Waiting handlers are told
    // to stop; what they still answer is sent, and the connection ends with the last of them.
    this.#state = "draining";
    const reason = new RpcError(Code.CANCELLED, "client closed the connection");
    for (const call of this.#calls.values()) call.abort(reason);
    this.#cancelHalfOpen = this.#host.clock.after(this.#host.limits.halfOpenMs, () => this.destroy(reason));
    this.#endWhenIdle();
  }

  #close(err?: Error): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#cancelHalfOpen?.();
    const reason = new RpcError(Code.CANCELLED, "connection closed", { cause: err });
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    this.#writer.clear();
    for (const call of calls) {
      call.answered = true;
      this.#host.deadlines.remove(call);
      call.abort(reason);
    }
    this.#host.gone(this);
    this.#tellClosed();
  }

  #endWhenIdle(): void {
    if (this.#state !== "draining" || this.#calls.size > 0) return;
    this.#writer.flush();
    if (this.#writer.unsent > 0) return;
    this.#state = "ended";
    this.#transport.end();
  }

  /** Reads on or stops reading: back-pressure to a peer that asks for more than it takes. */
  #regulate(): void {
    const { maxInFlight, maxInFlightBytes, maxUnsentBytes } = this.#host.limits;
    if (this.#state === "closed") return;
    if (this.#writer.unsent > maxUnsentBytes) {
      this.destroy(new Error(`expected at most ${maxUnsentBytes} unread bytes of replies, got ${this.#writer.unsent}`));
      return;
    }
    const pause = this.#running >= maxInFlight || this.#runningBytes >= maxInFlightBytes || this.#writer.blocked;
    if (pause === this.#paused) return;
    this.#paused = pause;
    if (pause) this.#transport.pause();
    else this.#transport.resume();
  }

  #frame(id: number, type: number, buffer: Uint8Array, start: number, end: number, owned: boolean): void {
    if (type === FrameType.REQUEST) {
      if (this.#state === "open") this.#request(id, buffer, start, end, owned);
      // One frame of a chunk may have ended the connection; the rest is then ignored.
      else if (this.#state === "draining") this.#writer.status(id, Code.UNAVAILABLE, "server is closing");
    } else if (type === FrameType.DATA) this.#streamData(id);
    // A response from a client, and types of later versions, are ignored.
  }

  /** Data on a stream: there are only unary calls here, so the stream is over, or over now. */
  #streamData(id: number): void {
    const call = this.#calls.get(id);
    if (call === undefined) return this.#writer.status(id, Code.INVALID_ARGUMENT, "Stream is no longer active");
    const reason = new RpcError(Code.INVALID_ARGUMENT, `unary call ${call.method} takes no stream data`);
    this.#endEarly(call, reason);
  }

  #request(id: number, buffer: Uint8Array, start: number, end: number, owned: boolean): void {
    const v = this.#view;
    const writer = this.#writer;
    if ((id & 1) === 0) return writer.status(id, Code.INVALID_ARGUMENT, "stream id must be odd");
    if (this.#calls.size > 0 && this.#calls.has(id)) {
      return writer.status(id, Code.INVALID_ARGUMENT, `stream id ${id} is in use`);
    }
    const problem = decodeRequest(buffer, start, end, v);
    if (problem !== undefined) return writer.status(id, Code.INVALID_ARGUMENT, problem);
    const route = this.#host.routes.find(buffer, v);
    if (route === undefined) return this.#unrouted(id, buffer);
    const { method } = route;
    if (method.requestStream || method.responseStream) {
      return writer.status(id, Code.UNIMPLEMENTED, `streaming is not supported: ${method.path}`);
    }

    let at = Infinity;
    if (v.timeoutNano > 0) {
      if (this.#now < 0) this.#now = this.#host.clock.now();
      at = this.#now + v.timeoutNano / 1e6;
    }
    // The chunk's memory is the transport's; what outlives this turn is copied.
    const payload = own(buffer, v.payloadStart, v.payloadEnd, owned);
    const head = v.metadataStart < 0 ? undefined : own(buffer, v.metadataStart, end, owned);
    let request: unknown;
    try {
      request = method.decodeRequest(payload);
    } catch (error) {
      return this.#undecodable(id, route, error);
    }
    const call = new Call(this.#owner, id, route, at, head);
    let result: unknown;
    try {
      result = route.handler(request as never, call);
    } catch (error) {
      this.#failed(call, error);
      return;
    }
    if (isThenable(result)) this.#wait(call, result, end - start);
    else this.#answer(call, result);
  }

  #wait(call: Call, result: PromiseLike<unknown>, size: number): void {
    this.#calls.set(call.streamId, call);
    this.#running++;
    this.#runningBytes += size;
    if (call.at !== Infinity) this.#host.deadlines.add(call);
    result.then(
      (value) => {
        if (!call.answered) this.#answer(call, value);
        else call.zero();
        this.#finished(call, size);
      },
      (error: unknown) => {
        if (!call.answered) this.#failed(call, error);
        this.#finished(call, size);
      },
    );
  }

  #finished(call: Call, size: number): void {
    this.#running--;
    this.#runningBytes -= size;
    if (this.#calls.get(call.streamId) === call) this.#calls.delete(call.streamId);
    this.#host.deadlines.remove(call);
    if (this.#paused || this.#writer.blocked) this.#regulate();
    this.#endWhenIdle();
  }

  #answer(call: Call, value: unknown): void {
    const { method } = call.route;
    let payload: Uint8Array;
    try {
      payload = method.encodeResponse(value as never);
    } catch (error) {
      this.#failed(call, error);
      return;
    }
    call.answered = true;
    call.zero();
    const length = payload.length;
    if (length > MAX_MESSAGE_LENGTH - 6 && 1 + varintLength(length) + length > MAX_MESSAGE_LENGTH) {
      if (call.secret) payload.fill(0);
      this.#writer.status(call.streamId, Code.RESOURCE_EXHAUSTED, oversizeText(1 + varintLength(length) + length));
    } else this.#writer.response(call.streamId, payload, call.secret);
  }

  #failed(call: Call, error: unknown): void {
    call.answered = true;
    call.zero();
    const status = RpcError.from(error);
    const details = status.details.map((detail) => encode("google.rpc.Detail", detail));
    this.#writer.status(call.streamId, status.code, clip(status.message), details);
    if (status !== error) this.#host.failed(error, call.method);
  }

  #expired(call: Call): void {
    if (!call.answered) this.#endEarly(call, new RpcError(Code.DEADLINE_EXCEEDED, "timeout"));
  }

  /** Answers a call before its handler does; what the handler still returns is dropped. */
  #endEarly(call: Call, status: RpcError): void {
    call.answered = true;
    call.zero();
    this.#calls.delete(call.streamId);
    this.#host.deadlines.remove(call);
    this.#writer.status(call.streamId, status.code, status.message);
    call.abort(status);
    this.#endWhenIdle();
  }

  #unrouted(id: number, buffer: Uint8Array): void {
    const v = this.#view;
    const service = text(buffer, v.serviceStart, v.serviceEnd);
    const method = text(buffer, v.methodStart, v.methodEnd);
    if (this.#host.routes.hasService(service)) {
      this.#writer.status(id, Code.UNIMPLEMENTED, clip(`${method} method`));
    } else this.#writer.status(id, Code.INVALID_ARGUMENT, clip(`${service} service does not exist`));
  }

  #undecodable(id: number, route: Route, error: unknown): void {
    if (error instanceof DecodeError) this.#writer.status(id, Code.UNKNOWN, clip(`ttrpc err: ${error.message}`));
    else this.#writer.status(id, Code.INTERNAL, "request does not decode");
    this.#host.failed(error, route.method.path);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}

function own(buffer: Uint8Array, start: number, end: number, owned: boolean): Uint8Array {
  if (start === end) return EMPTY;
  if (owned) return buffer.subarray(start, end);
  const copy = new Uint8Array(end - start);
  copy.set(buffer.subarray(start, end));
  return copy;
}

function clip(message: string): string {
  return message.length <= MAX_STATUS_TEXT ? message : `${message.slice(0, MAX_STATUS_TEXT)}...`;
}
