import { duplexPair } from "node:stream";

import { describe, expect, it } from "vitest";

import { QmpClient } from "../../../src/guest/qemu/qmp.ts";
import { MAX_QMP_LINE, QmpLines } from "../../../src/guest/qemu/qmp-lines.ts";

const GREETING = '{"QMP":{"version":{"qemu":{"micro":22,"minor":2,"major":7}},"capabilities":["oob"]}}\r\n';

/** A QEMU that answers each command with what the script says. */
function qemu(answer: (command: string) => string, greeting = GREETING) {
  const [ours, theirs] = duplexPair();
  const asked: string[] = [];
  const lines = new QmpLines();
  theirs.on("data", (chunk: Buffer) => {
    for (const { execute } of lines.push(chunk)) {
      asked.push(String(execute));
      theirs.write(answer(String(execute)));
    }
  });
  theirs.write(greeting);
  return { stream: ours, theirs, asked };
}

describe("QEMU's machine protocol", () => {
  it("leaves the negotiation, then runs commands in order", async () => {
    const { stream, asked } = qemu((command) =>
      command === "query-status" ? '{"return":{"status":"running"}}\r\n' : '{"return":{}}\r\n',
    );
    const client = new QmpClient(stream);
    await client.open();
    const [first, second] = await Promise.all([client.execute("query-status"), client.execute("stop")]);
    expect([first, second]).toEqual([{ status: "running" }, {}]);
    expect(asked).toEqual(["qmp_capabilities", "query-status", "stop"]);
  });

  it("tells events, also between a command and its answer", async () => {
    const event = '{"timestamp":{"seconds":1,"microseconds":2},"event":"SHUTDOWN","data":{"guest":true}}\r\n';
    const { stream } = qemu(() => `${event}{"return":{}}\r\n`);
    const events: unknown[] = [];
    const client = new QmpClient(stream, (name, data) => events.push([name, data]));
    await client.open();
    expect(events).toEqual([["SHUTDOWN", { guest: true }]]);
  });

  it("gives QEMU's own words when it refuses", async () => {
    const { stream } = qemu((command) =>
      command === "nonsense"
        ? '{"error":{"class":"CommandNotFound","desc":"The command nonsense has not been found"}}\r\n'
        : '{"return":{}}\r\n',
    );
    const client = new QmpClient(stream);
    await client.open();
    await expect(client.execute("nonsense")).rejects.toMatchObject({
      code: "guest",
      message: "QMP nonsense",
      cause: expect.objectContaining({ message: "The command nonsense has not been found" }) as Error,
    });
  });

  it("fails what waits, and all that comes later, when the connection ends", async () => {
    const { stream, theirs } = qemu(() => "");
    const client = new QmpClient(stream);
    const opening = client.open();
    theirs.destroy();
    stream.destroy();
    await expect(opening).rejects.toThrow("QMP");
    await expect(client.execute("quit")).rejects.toThrow("QMP quit");
  });

  it.each([
    ["no JSON", "nonsense\n", "expected JSON"],
    ["no object", "[1]\n", "expected an object"],
    ["a line without an end", "x".repeat(MAX_QMP_LINE + 1), `at most ${MAX_QMP_LINE} bytes`],
  ])("gives up on %s", async (_what, bytes, text) => {
    const { stream } = qemu(() => "", bytes);
    await expect(new QmpClient(stream).open()).rejects.toThrow(text);
    expect(stream.destroyed).toBe(true);
  });
});

describe("lines of the protocol", () => {
  it("come out the same however the bytes are cut", () => {
    const text = Buffer.from(`${GREETING}\n{"return":{"text":"\u00e9\u20ac"}}\n{"event":"STOP"}\n`);
    const whole = new QmpLines().push(text);
    expect(whole).toHaveLength(3);
    for (let size = 1; size < 9; size += 1) {
      const lines = new QmpLines();
      const messages = [];
      for (let at = 0; at < text.length; at += size) messages.push(...lines.push(text.subarray(at, at + size)));
      expect(messages).toEqual(whole);
    }
  });

  it("bear any bytes: messages or one error of ours, and never more kept than the limit (seed 7)", () => {
    let seed = 7;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return seed % below;
    };
    const parts = [
      "{",
      "}",
      '"',
      "\n",
      "\r\n",
      "[",
      "null",
      '{"return":{}}',
      '{"QMP":1}',
      "\\",
      "\u0000",
      ":",
      ",",
      "1e9",
    ];
    for (let round = 0; round < 3000; round += 1) {
      const lines = new QmpLines();
      try {
        for (let chunk = 0; chunk < 8; chunk += 1) {
          const text = Array.from({ length: random(6) }, () => parts[random(parts.length)]).join("");
          const bytes = random(3) === 0 ? Buffer.from([random(256), random(256), 10]) : Buffer.from(text);
          for (const message of lines.push(bytes)) expect(typeof message).toBe("object");
        }
      } catch (error) {
        expect(error).toMatchObject({ name: "NacreError", code: "guest" });
      }
    }
  });
});
