import { AgentService } from "@nacre/protocols";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { AttackedGuest } from "../fixtures/attacked-guest.ts";

const { CreateContainer, ExecProcess, RemoveContainer, SignalProcess, StartContainer, WaitProcess } =
  AgentService.methods;

describe("names that a host chooses", () => {
  let guest: AttackedGuest;
  beforeAll(async () => {
    guest = await AttackedGuest.start();
  });
  afterAll(() => guest[Symbol.asyncDispose]());

  it("cannot make a container's scratch folder that of the runtime", async () => {
    const before = await guest.holdings();
    await guest.run("victim", ["sleep", "1000"]);
    for (const id of ["runtime", "containers"]) {
      await guest.run(id, ["true"]);
      await guest.rpc.call(WaitProcess, { container_id: id });
      await guest.remove(id);
      const broken = { ...guest.request(id), storages: [] };
      expect(await guest.reply(CreateContainer, broken)).toMatchObject({ code: 13 });
    }
    expect(
      await guest.reply(ExecProcess, {
        container_id: "victim",
        exec_id: "e",
        process: { Args: ["true"], Env: ["PATH=/bin"], Cwd: "/" },
      }),
    ).toEqual({ code: 0, message: "" });
    await guest.remove("victim");
    expect(await guest.holdings()).toEqual(before);
  });

  it("cannot put a container into a control group that holds or is in another one's", async () => {
    const before = await guest.holdings();
    await guest.run("victim", ["sleep", "1000"]);
    for (const path of ["/kubepods/pod-test/victim", "/kubepods/pod-test/victim/below", "/kubepods"]) {
      const request = guest.request("thief");
      const reply = await guest.reply(CreateContainer, {
        ...request,
        OCI: { ...request.OCI, Linux: { ...request.OCI?.Linux, CgroupsPath: path } },
      });
      expect(reply, path).toMatchObject({ code: 3, message: expect.stringContaining("control group") as string });
    }
    expect(await guest.reply(SignalProcess, { container_id: "victim", exec_id: "victim", signal: 0 })).toMatchObject({
      code: 0,
    });
    await guest.remove("victim");
    expect(await guest.holdings()).toEqual(before);
  });

  it.each([
    "../x",
    "..",
    ".",
    "x",
    "",
    "a/b",
    "a\0b",
    "a b",
    "a\nb",
    "sandbox",
    "shared",
    "image",
    "-x",
    "é".repeat(128),
  ])("are refused as a container's id: %j", async (id) => {
    const before = await guest.holdings();
    expect(await guest.reply(CreateContainer, guest.request(id))).toMatchObject({ code: 13 });
    expect(await guest.reply(StartContainer, { container_id: id })).toMatchObject({ code: 13 });
    expect(await guest.reply(RemoveContainer, { container_id: id })).toMatchObject({ code: 13 });
    expect(await guest.holdings()).toEqual(before);
  });
});
