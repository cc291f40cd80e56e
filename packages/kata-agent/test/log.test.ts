import { transportPair } from "@nacre/ttrpc";
import { describe, expect, it } from "vitest";

import { createLogger, MAX_FIELD_LENGTH } from "../src/log.ts";
import { LogBuffer, MAX_PENDING_LINES } from "../src/log-port.ts";

describe("createLogger", () => {
  const lines: string[] = [];
  const log = createLogger({
    level: "info",
    version: "4.1.0",
    pid: 7,
    now: () => new Date(0),
    write: (line) => lines.push(line),
  });

  it("writes the members that log readers know, extra ones after them", () => {
    lines.length = 0;
    log.child("rpc").warning("hello", { container: "c1", size: 2n ** 60n, level: "cannot be replaced" });
    expect(lines).toEqual([
      '{"msg":"hello","level":"WARNING","ts":"1970-01-01T00:00:00.000Z","pid":"7","version":"4.1.0",' +
        '"name":"kata-agent","source":"agent","subsystem":"rpc","container":"c1","size":1152921504606846976}\n',
    ]);
  });

  it("leaves out what is below its level", () => {
    lines.length = 0;
    log.debug("no");
    log.info("yes");
    log.error("yes");
    expect(lines).toHaveLength(2);
  });

  it("keeps one line one line, and not too long", () => {
    lines.length = 0;
    log.info(`two\nlines ${"x".repeat(MAX_FIELD_LENGTH)}`);
    expect(lines[0]?.indexOf("\n")).toBe((lines[0]?.length ?? 0) - 1);
    expect(lines[0]?.length).toBeLessThan(MAX_FIELD_LENGTH + 300);
  });
});

describe("LogBuffer", () => {
  const collect = (): { got: string[]; pair: ReturnType<typeof transportPair> } => {
    const pair = transportPair();
    const got: string[] = [];
    pair[1].start({
      data: (chunk) => got.push(Buffer.from(chunk).toString()),
      end: () => undefined,
      close: () => undefined,
      drain: () => undefined,
    });
    return { got, pair };
  };

  it("keeps the newest lines until a reader comes, then passes them on", async () => {
    const buffer = new LogBuffer();
    for (let i = 0; i < MAX_PENDING_LINES + 2; i++) buffer.write(`${i}\n`);
    const { got, pair } = collect();
    buffer.attach(pair[0]);
    buffer.write("last\n");
    await new Promise(setImmediate);
    const text = got.join("");
    expect(text.startsWith("2\n3\n")).toBe(true);
    expect(text.endsWith("last\n")).toBe(true);
  });

  it("turns a second reader away", async () => {
    const buffer = new LogBuffer();
    buffer.attach(collect().pair[0]);
    const pair = transportPair();
    const closed = new Promise<void>((resolve) => {
      pair[1].start({ data: () => undefined, end: resolve, close: () => resolve(), drain: () => undefined });
    });
    buffer.attach(pair[0]);
    await closed;
  });
});
