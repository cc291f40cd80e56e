import { Code, DecodeError, type Init, type MethodDescriptor } from "@nacre/protocols";
import { type Handlers, RpcError, type ServerOptions, TtrpcClient, TtrpcServer, transportPair } from "../src/index.ts";

/** A message of one text, as its bytes; a stand-in for a generated one. */
export interface Text {
  readonly text: string;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

function method(name: string, stream = false): MethodDescriptor<Text, Text> {
  const encode = (v: Init<Text>): Uint8Array => {
    if (typeof v.text !== "string") throw new TypeError("expected a text");
    return new TextEncoder().encode(v.text);
  };
  const decode = (b: Uint8Array): Text => {
    try {
      return { text: utf8.decode(b) };
    } catch {
      throw new DecodeError("utf8");
    }
  };
  return {
    service: "test.Echo",
    name,
    path: `/test.Echo/${name}`,
    requestType: "test.Text",
    responseType: "test.Text",
    requestStream: stream,
    responseStream: stream,
    encodeRequest: encode,
    decodeRequest: decode,
    encodeResponse: encode,
    decodeResponse: decode,
  };
}

export interface EchoService {
  readonly name: "test.Echo";
  readonly methods: {
    /** Answers in the same turn. */
    readonly Now: MethodDescriptor<Text, Text>;
    /** Answers with a promise that is already resolved. */
    readonly Soon: MethodDescriptor<Text, Text>;
    /** Answers when the test says so. */
    readonly Held: MethodDescriptor<Text, Text>;
    /** Throws, in the same turn, what the test put in `errors` under that name. */
    readonly Throw: MethodDescriptor<Text, Text>;
    /** Rejects with the same. */
    readonly Reject: MethodDescriptor<Text, Text>;
    /** Answers as many bytes as the text says. */
    readonly Big: MethodDescriptor<Text, Text>;
    /** Tells metadata and deadline. */
    readonly Context: MethodDescriptor<Text, Text>;
    /** Gives the encoder something it refuses. */
    readonly Unencodable: MethodDescriptor<Text, Text>;
    /** Never answers and does not listen to its signal. */
    readonly Deaf: MethodDescriptor<Text, Text>;
    readonly Unhandled: MethodDescriptor<Text, Text>;
    readonly Stream: MethodDescriptor<Text, Text>;
  };
}

export const Echo: EchoService = {
  name: "test.Echo",
  methods: {
    Now: method("Now"),
    Soon: method("Soon"),
    Held: method("Held"),
    Throw: method("Throw"),
    Reject: method("Reject"),
    Big: method("Big"),
    Context: method("Context"),
    Unencodable: method("Unencodable"),
    Deaf: method("Deaf"),
    Unhandled: method("Unhandled"),
    Stream: method("Stream", true),
  },
};

/** One call to Held that waits for the test. */
export interface HeldCall {
  readonly text: string;
  readonly signal: AbortSignal;
  answer(text: string): void;
}

/** The behaviour behind {@link Echo}, with what a test needs to drive it. */
export class EchoBackend {
  readonly held: HeldCall[] = [];
  /** Resolves when Deaf was called. */
  readonly deaf: PromiseWithResolvers<void> = Promise.withResolvers();
  readonly errors = new Map<string, unknown>([
    ["rpc", new RpcError(Code.NOT_FOUND, "no such thing")],
    ["plain", new Error("outer")],
  ]);
  #onHeld: (() => void) | undefined;

  /** Resolves when `n` calls to Held have arrived. */
  async heldCalls(n: number): Promise<HeldCall[]> {
    while (this.held.length < n) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onHeld = resolve;
      await promise;
    }
    return this.held;
  }

  handlers(): Handlers<EchoService> {
    return {
      Now: (r) => ({ text: `now ${r.text}` }),
      Soon: async (r) => ({ text: `soon ${r.text}` }),
      Held: (r, ctx) => {
        const { promise, resolve, reject } = Promise.withResolvers<Text>();
        ctx.signal.addEventListener("abort", () => reject(ctx.signal.reason as Error));
        this.held.push({ text: r.text, signal: ctx.signal, answer: (text) => resolve({ text }) });
        this.#onHeld?.();
        return promise;
      },
      Throw: (r) => {
        throw this.errors.get(r.text) as Error;
      },
      Reject: (r) => Promise.reject(this.errors.get(r.text)),
      Big: (r) => ({ text: "x".repeat(Number(r.text)) }),
      Context: (_r, ctx) => ({
        text: JSON.stringify({
          metadata: Object.fromEntries(ctx.metadata),
          hasDeadline: ctx.deadline !== undefined,
          method: ctx.method,
        }),
      }),
      Unencodable: () => ({ text: 5 as unknown as string }),
      Deaf: () => {
        this.deaf.resolve();
        return new Promise(() => {});
      },
      Stream: () => ({ text: "never" }),
    };
  }
}

/** A client and a server of {@link Echo} joined in memory. */
export function echoPair(opts: ServerOptions = {}): { client: TtrpcClient; server: TtrpcServer; backend: EchoBackend } {
  const backend = new EchoBackend();
  const server = new TtrpcServer(opts).addService(Echo, backend.handlers());
  const [a, b] = transportPair();
  server.serve(b);
  return { client: new TtrpcClient(a), server, backend };
}
