import type { Clock, Http, HttpRequest, HttpResponse } from "../src/index.ts";

export interface FakeResponse {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array | readonly Uint8Array[];
  /** Thrown after the body. */
  readonly breaks?: Error;
}

/** A network that answers from a function and keeps what was asked. */
export class FakeHttp implements Http {
  readonly requests: HttpRequest[] = [];
  readonly #answer: (request: HttpRequest, count: number) => FakeResponse;
  discarded = 0;

  constructor(answer: (request: HttpRequest, count: number) => FakeResponse) {
    this.#answer = answer;
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    request.signal?.throwIfAborted();
    this.requests.push(request);
    const answer = this.#answer(request, this.requests.length);
    const { body = "", breaks } = answer;
    const chunks = typeof body === "string" ? [Buffer.from(body)] : body instanceof Uint8Array ? [body] : body;
    return {
      status: answer.status ?? 200,
      headers: answer.headers ?? {},
      body: (async function* () {
        for (const chunk of chunks) yield chunk;
        if (breaks !== undefined) throw breaks;
      })(),
      discard: () => {
        this.discarded += 1;
      },
    };
  }
}

/** A clock that never waits but keeps what it was asked to wait. */
export class FakeClock implements Clock {
  time = 1_700_000_000_000;
  readonly sleeps: number[] = [];

  now(): number {
    return this.time;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.sleeps.push(ms);
    this.time += ms;
  }
}
