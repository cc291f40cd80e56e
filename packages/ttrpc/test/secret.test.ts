import { describe, expect, it } from "vitest";

import { FrameType, type Transport, type TransportHandlers, TtrpcServer } from "../src/index.ts";
import { Echo, type EchoService } from "./echo.ts";
import { frameBytes, requestBytes } from "./peer.ts";

/** Takes what is written and says when it was sent only when told. */
class SlowTransport implements Transport {
  handlers: TransportHandlers | undefined;
  readonly written: Uint8Array[] = [];
  sent: (() => void) | undefined;

  start(handlers: TransportHandlers): void {
    this.handlers = handlers;
  }

  write(chunks: readonly Uint8Array[], sent?: () => void): boolean {
    this.written.push(...chunks);
    this.sent = sent;
    return true;
  }

  pause(): void {}
  resume(): void {}
  end(): void {}
  destroy(error?: Error): void {
    this.handlers?.close(error);
  }
}

const SECRET = "what must not stay";

async function setup(late?: Promise<void>) {
  const transport = new SlowTransport();
  const secret = Buffer.from(SECRET);
  const server = new TtrpcServer().addService<EchoService>(Echo, {
    Soon: async (_, context) => {
      await late;
      context.zeroAfter(secret);
      return { text: secret.toString() };
    },
  });
  server.serve(transport);
  transport.handlers?.data(frameBytes(1, FrameType.REQUEST, requestBytes(Echo.methods.Soon, "x")));
  await new Promise((resolve) => setImmediate(resolve));
  return { transport, secret };
}

const held = (transport: SlowTransport): boolean => Buffer.concat(transport.written).includes(SECRET);

describe("a secret reply", () => {
  it("is zeroed when it has been sent, and what it was made of before", async () => {
    const { transport, secret } = await setup();
    expect(secret).toEqual(Buffer.alloc(SECRET.length));
    expect(held(transport)).toBe(true);
    transport.sent?.();
    expect(held(transport)).toBe(false);
  });

  it("is zeroed when nobody wants it any more", async () => {
    const late = Promise.withResolvers<void>();
    const { transport, secret } = await setup(late.promise);
    transport.destroy();
    late.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    expect(secret).toEqual(Buffer.alloc(SECRET.length));
    expect(held(transport)).toBe(false);
  });
});
