import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { findGuest, listGuests } from "../../src/guest/guest.ts";
import { identityOf } from "../../src/guest/identity.ts";
import { guestLayout, guestsFolder, isGuestId, stateRoot } from "../../src/guest/layout.ts";
import { createState, type GuestState, isTended, parseState, readState, writeState } from "../../src/guest/state.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "nacre-state-"));
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

const state = (id: string, change: Partial<GuestState> = {}): GuestState => ({
  id,
  kind: "simulated",
  created: "2026-01-01T00:00:00.000Z",
  network: { gateway: "198.18.0.1", address: "198.18.0.2", prefixLength: 30 },
  starter: identityOf(process.pid),
  supervisor: undefined,
  launcher: undefined,
  init: undefined,
  helpers: [],
  ready: false,
  networkRefusal: undefined,
  log: "/run/log",
  ...change,
});

describe("a guest's state", () => {
  it("is read as it was written", () => {
    const layout = guestLayout(root, "0123abcd");
    createState(layout, state("0123abcd"), guestsFolder(root));
    expect(readState(layout)).toEqual(state("0123abcd"));
    writeState(layout, state("0123abcd", { ready: true }));
    expect(readState(layout)?.ready).toBe(true);
    expect(() => createState(layout, state("0123abcd"), guestsFolder(root))).toThrow("EEXIST");
  });

  it("is nothing where it is absent, cut off or another's", () => {
    expect(readState(guestLayout(root, "0123abcd"))).toBeUndefined();
    for (const text of ["", "{", "null", "[]", "{}", '{"id":"ffffffff","network":{"gateway":"g","address":"a"}}']) {
      expect(parseState("0123abcd", text)).toBeUndefined();
    }
  });

  it("counts as tended by its starter until a supervisor is there, then by that alone", () => {
    const me = identityOf(process.pid);
    const gone = { pid: 4_000_000, startTime: "1", bootId: "b" };
    expect(isTended(undefined)).toBe(false);
    expect(isTended(state("0123abcd"))).toBe(true);
    expect(isTended(state("0123abcd", { starter: gone }))).toBe(false);
    expect(isTended(state("0123abcd", { starter: gone, supervisor: me }))).toBe(true);
    expect(isTended(state("0123abcd", { supervisor: gone }))).toBe(false);
  });

  it("makes a guest listed when it is ready, by the beginning of its id", () => {
    const supervisor = identityOf(process.pid);
    for (const id of ["0123abcd", "0123ffff"]) {
      createState(guestLayout(root, id), state(id, { supervisor, ready: id === "0123abcd" }), guestsFolder(root));
    }
    writeFileSync(join(guestsFolder(root), "no-guest"), "");
    expect(listGuests(root).map(({ id }) => id)).toEqual(["0123abcd"]);
    const guest = findGuest("01", root);
    expect(guest.agentAddress).toBe(`unix://${root}/guests/0123abcd/vsock/1024.sock`);
    expect(guest.hybridAddress).toBe(`hvsock://${root}/guests/0123abcd/hybrid.sock:1024`);
    expect(() => findGuest("ff", root)).toThrow('no guest "ff" runs');
    writeState(guestLayout(root, "0123ffff"), state("0123ffff", { supervisor, ready: true }));
    expect(() => findGuest("0123", root)).toThrow("more than one");
  });
});

describe("names of a guest", () => {
  it("fit the kernel's limits", () => {
    const layout = guestLayout("/run/nacre", "0123abcd");
    expect(layout.interface.length).toBeLessThanOrEqual(15);
    expect(layout.hybridSocket.length).toBeLessThanOrEqual(107);
  });

  it("are never paths", () => {
    for (const id of ["", "../x", "0123abcd/", "0123ABCD", "0123abcde", "0123abc"]) expect(isGuestId(id)).toBe(false);
  });

  it("lie where the environment says", () => {
    expect(stateRoot({})).toBe("/run/nacre");
    expect(stateRoot({ NACRE_STATE_DIR: "/run/other" })).toBe("/run/other");
  });
});
