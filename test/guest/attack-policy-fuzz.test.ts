import { AgentService, EncodeError, type grpc, type Init, type MethodDescriptor } from "@nacre/protocols";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { SHARED } from "../fixtures/attacked-guest.ts";
import { GUEST_KIND } from "../fixtures/guest-kind.ts";
import { type Mutation, mutations } from "../fixtures/mutations.ts";
import { PolicedGuest } from "../fixtures/policed-guest.ts";
import { seeded } from "../fixtures/seeded.ts";

const { CopyFile, CreateContainer, ExecProcess, StartContainer, WaitProcess } = AgentService.methods;

const SEED = 20_261_126;
/** How many changes of each kind of request are tried; an emulated processor gets through fewer of them. */
const ROUNDS = GUEST_KIND === "qemu" ? 40 : 400;
/** A slow machine tries fewer: the time of a test is not what is tested. */
const ENOUGH_MS = 20_000;

/** Parts of which a policy says nothing: how much of the machine a container gets, which can be too little to run. */
const SHARE = /(?:^|, )OCI\.(?:Linux\.Resources|Process\.OOMScoreAdj)/u;

/** What a host may choose, and is no part of what runs: its services' addresses, and where control groups lie. */
function essence(report: string): string {
  return report
    .split("\n")
    .filter((line) => !/^env KUBERNETES_|\/sys\/fs\/cgroup/u.test(line))
    .join("\n");
}

/** What the fields' types have room for. */
function canBeSent(method: Pick<MethodDescriptor<object, unknown>, "encodeRequest">, request: object): boolean {
  try {
    method.encodeRequest(request);
    return true;
  } catch (error) {
    if (error instanceof EncodeError) return false;
    throw error;
  }
}

/** One or two changes at random places. */
function* changed<T extends object>(
  method: Pick<MethodDescriptor<object, unknown>, "encodeRequest">,
  honest: () => T,
  salt: number,
): Generator<Mutation & { readonly first: T }> {
  const random = seeded(SEED + salt);
  const end = performance.now() + ENOUGH_MS;
  for (let round = 0; round < ROUNDS && performance.now() < end; round += 1) {
    const first = honest();
    let change = pick(
      mutations(first, () => undefined),
      random,
    );
    if (random(4) === 0) {
      const { path, what, request } = pick(
        mutations(change.request, () => undefined),
        random,
      );
      change = { path: `${change.path}, ${path}`, what: `${change.what}, ${what}`, request };
    }
    if (canBeSent(method, change.request)) yield { ...change, first };
  }
}

/** Each place has the same chance, however many changes there are of it. */
function pick(all: readonly Mutation[], random: (n: number) => number): Mutation {
  const places = [...new Set(all.map(({ path }) => path))];
  const place = places[random(places.length)];
  const here = all.filter(({ path }) => path === place);
  const one = here[random(here.length)];
  if (one === undefined) throw new Error("nothing to change");
  return one;
}

describe("requests changed at random", () => {
  let guest: Awaited<ReturnType<typeof PolicedGuest.start>>;
  let before: object;
  beforeAll(async () => {
    guest = await PolicedGuest.start();
    await guest.runToEnd("web");
    before = await holdings();
  });
  afterAll(() => guest[Symbol.asyncDispose]());

  /** Without control groups that a path's first steps made: they are empty. */
  const holdings = async (): Promise<object> => {
    const { cgroups = [], ...rest } = await guest.guest.holdings();
    return { ...rest, cgroups: cgroups.filter((path) => /[0-9a-f]{64}/u.test(path)) };
  };

  /** The status of a container's process; undefined where it could not be started. */
  const ended = async (container_id: string): Promise<number | undefined> => {
    if ((await guest.reply(StartContainer, { container_id })).code !== 0) return undefined;
    return (await guest.guest.rpc.call(WaitProcess, { container_id, exec_id: container_id })).status;
  };

  it("make the container that the policy means, or none", async () => {
    const honest = essence(await guest.runToEnd("web"));
    let allowed = 0;
    let tried = 0;
    for (const { path, what, request, first } of changed(CreateContainer, () => guest.request("web"), 1)) {
      tried += 1;
      const where = `${path}: ${what}`;
      const { container_id } = request as grpc.CreateContainerRequest;
      const { code } = await guest.reply(CreateContainer, request);
      expect([0, 3, 7, 13], where).toContain(code);
      if (code === 0) {
        allowed += 1;
        expect(container_id, where).toBe(first.container_id);
        const status = await ended(container_id);
        await guest.remove(container_id);
        if (status === 0) {
          expect(essence(await guest.report("web", container_id)), where).toBe(honest);
        } else expect(path, where).toMatch(SHARE);
      }
      if (code !== 7) expect(await holdings(), where).toEqual(before);
    }
    expect(await holdings()).toEqual(before);
    expect(essence(await guest.runToEnd("web"))).toBe(honest);
    expect(tried).toBeGreaterThan(allowed);
  });

  it("run the command that the policy means, or none", async () => {
    const { tool } = guest;
    const probe = (): grpc.ExecProcessRequest => guest.probe("tool", tool);
    const honest = essence(await guest.runProbe("tool", tool, probe()));
    for (const { path, what, request } of changed(ExecProcess, probe, 2)) {
      const where = `${path}: ${what}`;
      const { exec_id } = request as grpc.ExecProcessRequest;
      // A process without a name cannot be waited for.
      if (exec_id === "") continue;
      const { code } = await guest.reply(ExecProcess, request);
      expect([0, 3, 7, 13], where).toContain(code);
      if (code !== 0) continue;
      const { status } = await guest.guest.rpc.call(WaitProcess, { container_id: tool, exec_id });
      expect(status, where).toBe(0);
      expect(essence(await guest.report("tool-probe", tool)), where).toBe(honest);
    }
    expect(await holdings()).toEqual(before);
  });

  it("copy files to volumes that containers have, and to no other place", async () => {
    const places = [
      "/",
      "/etc",
      "/run",
      "/run/kata-containers",
      "/run/kata-containers/sandbox",
      `${SHARED}/${guest.sandboxId}`,
    ];
    const seen = async (): Promise<unknown> => [await Promise.all(places.map((one) => guest.guest.names(one))), before];
    const start = await seen();
    const copy = (): grpc.CopyFileRequest => {
      const { copies } = guest.requests("web");
      const [one] = copies.filter(({ path }) => (path ?? "").includes("settings")).slice(-1) as [
        Init<grpc.CopyFileRequest>,
      ];
      return CopyFile.decodeRequest(CopyFile.encodeRequest(one));
    };
    for (const { path, what, request } of changed(CopyFile, copy, 3)) {
      expect([0, 7, 13], `${path}: ${what}`).toContain((await guest.reply(CopyFile, request)).code);
    }
    expect(await seen()).toEqual(start);
    const names = await guest.guest.names(SHARED);
    const own = new RegExp(`^(?:${guest.sandboxId}|[0-9a-f]{64}-[0-9a-f]{16}-(?:[a-z.-]+))$`, "u");
    expect(names.filter((name) => !own.test(name))).toEqual([]);
    expect(await holdings()).toEqual(before);
  });
});
