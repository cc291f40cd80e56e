import { AgentService } from "@nacre/protocols";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { AttackedGuest, SHARED } from "../fixtures/attacked-guest.ts";
import { guestLogged } from "../fixtures/guest-log.ts";

const { CopyFile, CreateContainer, ExecProcess, GetDiagnosticData, SetPolicy, SignalProcess, WriteStdin } =
  AgentService.methods;

const SECRET = "s3cr3t-0f-the-pod";
/** What a host would like to have read as a line of its own. */
const FORGED =
  '\n{"msg":"forged","level":"INFO"}\n[2026-01-01T00:00:00Z INFO forged] forged\r\n\u2028forged\u009b31m\u001b[31m';

describe("the guest's log, at its most talkative", () => {
  let guest: AttackedGuest;
  beforeAll(async () => {
    guest = await AttackedGuest.start({ kernelParameters: ["agent.log=trace"] });
  });
  afterAll(() => guest[Symbol.asyncDispose]());

  /** The log with everything that the agent has said of the calls so far: a last one is waited for. */
  const logUntil = async (marker: string): Promise<string> => {
    await guest.reply(SignalProcess, { container_id: marker, signal: 9 });
    return await guestLogged(guest.guest.guest, `Invalid container id ${marker}`);
  };

  it("holds no value of an environment, no input, no output and no content of a file", async () => {
    const env = [`TOKEN=${SECRET}`];
    const process = { Args: ["sh", "-c", "cat; env"], Env: ["PATH=/bin", ...env], Cwd: "/" };
    await guest.run("secret", ["sh", "-c", "cat; env"], { env });
    await guest.rpc.call(WriteStdin, { container_id: "secret", data: Buffer.from(SECRET) });
    await guest.rpc.call(ExecProcess, { container_id: "secret", exec_id: "e", process });
    await guest.rpc.call(WriteStdin, { container_id: "secret", exec_id: "e", data: Buffer.from(SECRET) });
    await guest.rpc.call(WriteStdin, { container_id: "secret", exec_id: "e" });
    expect(await guest.output("secret", "e")).toContain(SECRET);
    // What fails is told more about.
    for (const over of [{ Args: ["/absent"] }, { Cwd: "/absent" }, { Env: [SECRET] }, { Env: [...env, "\0"] }]) {
      expect(
        await guest.reply(ExecProcess, { container_id: "secret", exec_id: "f", process: { ...process, ...over } }),
      ).not.toMatchObject({ code: 0 });
    }
    expect(await guest.reply(CreateContainer, guest.request("failing", { args: ["/absent"], env }))).toMatchObject({
      code: 13,
    });
    const file = { path: `${SHARED}/f`, data: Buffer.from(SECRET), file_mode: 0o100644, dir_mode: 0o755 };
    await guest.reply(CopyFile, { ...file, file_size: BigInt(SECRET.length) });
    await guest.reply(CopyFile, { ...file, file_size: 1n });
    await guest.remove("secret");
    expect(await logUntil("after-the-secret")).not.toContain(SECRET);
  });

  it("has no line that the host has written", async () => {
    await guest.reply(CreateContainer, guest.request(`id${FORGED}`));
    await guest.reply(CreateContainer, guest.request("forged", { image: `x${FORGED}` }));
    await guest.reply(CreateContainer, guest.request("forged", { args: [`/absent${FORGED}`] }));
    await guest.reply(CreateContainer, guest.request("forged", { cwd: `/absent${FORGED}` }));
    await guest.reply(CreateContainer, guest.request("forged", { storages: [{ driver: FORGED }] }));
    await guest.reply(GetDiagnosticData, { log_type: FORGED });
    await guest.reply(SetPolicy, { policy: `package agent_policy${FORGED}` });
    await guest.reply(CopyFile, { path: `/${FORGED}` });
    const lines = (await logUntil("after-the-forgeries")).split(/[\n\r\u001b\u009b\u2028]/);
    // A virtual machine's log has its kernel's lines, which begin with seconds and microseconds.
    const own =
      /^(?:|\{"msg":.*"name":"kata-agent".*\}|NVRC .*|\[[^\]]* (?:api-server-rest|attestation-agent|confidential-data-hub)\] .*|\[ *\d+\.\d{6}\] .*)$/;
    expect(lines.filter((line) => !own.test(line))).toEqual([]);
    expect(lines.filter((line) => line.startsWith('{"msg":"forged"'))).toEqual([]);
  });
});
