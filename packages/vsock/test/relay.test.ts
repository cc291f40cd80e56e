import type { Transport } from "@nacre/ttrpc";
import { describe, expect, it, onTestFinished } from "vitest";

import { dial, listen, Relay, type RelayOptions, type VsockError } from "../src/index.ts";
import { Accepted, folder, Recorder } from "./sockets.ts";

async function setup(opts: RelayOptions = {}) {
  const dir = folder();
  const accepted = new Accepted<Transport>();
  const target = await listen(`unix://${dir}/target.sock`, accepted.push);
  const refusals = new Accepted<VsockError>();
  const relay = await Relay.listen(`unix://${dir}/relay.sock`, target.address, { onRefused: refusals.push, ...opts });
  onTestFinished(async () => {
    await relay.close();
    await target.close();
  });
  return { relay, target, accepted, refusals };
}

describe("a relay", () => {
  it("gives each caller a connection of its own, with half-close", async () => {
    const { relay, accepted } = await setup();
    const [one, two] = [new Recorder(await dial(relay.address)), new Recorder(await dial(relay.address))];
    const [first, second] = [new Recorder(await accepted.next()), new Recorder(await accepted.next())];
    one.send("one");
    two.send("two");
    await first.until((other) => other.text === "one");
    await second.until((other) => other.text === "two");
    one.transport.end();
    await first.until((other) => other.ended);
    first.send("still");
    first.transport.end();
    await one.until((caller) => caller.closed);
    expect(one.text).toBe("still");
    expect(two.closed).toBe(false);
  });

  it("passes on that a side is gone, either way", async () => {
    const { relay, accepted } = await setup();
    const caller = new Recorder(await dial(relay.address));
    const other = new Recorder(await accepted.next());
    other.transport.destroy();
    await caller.until(({ ended }) => ended);
    const again = new Recorder(await dial(relay.address));
    const behind = new Recorder(await accepted.next());
    again.transport.destroy();
    await behind.until(({ ended }) => ended);
  });

  it("closes a caller when there are too many", async () => {
    const { relay, accepted, refusals } = await setup({ maxConnections: 1 });
    const first = new Recorder(await dial(relay.address));
    await accepted.next();
    const second = new Recorder(await dial(relay.address));
    await second.until(({ ended }) => ended);
    expect((await refusals.next()).message).toContain("at most 1 callers");
    expect(first.ended).toBe(false);
  });

  it("closes a caller when nobody answers behind it", async () => {
    const { relay, target, refusals } = await setup();
    await target.close();
    const late = new Recorder(await dial(relay.address));
    await late.until(({ ended }) => ended);
    expect(await refusals.next()).toMatchObject({ code: "refused" });
  });

  it("drops its connections when it closes, and its socket with them", async () => {
    const { relay, accepted } = await setup();
    const caller = new Recorder(await dial(relay.address));
    const other = new Recorder(await accepted.next());
    other.send("joined");
    await caller.until(({ text }) => text === "joined");
    expect(relay.open).toBe(2);
    await relay.close();
    await caller.until(({ ended }) => ended);
    expect(relay.open).toBe(0);
    await expect(dial(relay.address)).rejects.toMatchObject({ code: "refused" });
  });
});
