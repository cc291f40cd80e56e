import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { AgentService, type grpc, ImagePullService, type Init } from "@nacre/protocols";
import { RpcError, TtrpcClient, TtrpcServer } from "@nacre/ttrpc";
import { dial, listen, type Listener } from "@nacre/vsock";
import { afterEach, describe, expect, it } from "vitest";

import { ALLOW_ALL, containerRequest } from "../fixtures/agent-requests.ts";
import { type AgentOptions, startAgent, type TestAgent } from "../fixtures/agent-harness.ts";
import { changed } from "../fixtures/changed.ts";

const SHARED = "/run/kata-containers/shared/containers";
const {
  CopyFile,
  CreateContainer,
  CreateSandbox,
  DestroySandbox,
  ReadStdout,
  RemoveContainer,
  StartContainer,
  WaitProcess,
} = AgentService.methods;

let agent: TestAgent | undefined;
let client: TtrpcClient | undefined;
const undo: Array<() => Promise<void>> = [];

afterEach(async () => {
  client?.close();
  await agent?.stop();
  agent = undefined;
  for (const step of undo.splice(0).toReversed()) await step();
});

async function start(options: Partial<AgentOptions> = {}): Promise<TtrpcClient> {
  agent = await startAgent({ policy: ALLOW_ALL, ...options });
  client = new TtrpcClient(await dial(`unix://${agent.socket}`));
  return client;
}

function inside(script: string): Promise<string> {
  if (agent === undefined) throw new Error("no agent");
  return agent.inside("/bin/sh", "-c", script);
}

/** Runs a container to its end and returns what it printed. */
async function run(rpc: TtrpcClient, request: Init<grpc.CreateContainerRequest>): Promise<string> {
  await rpc.call(CreateContainer, request);
  const container_id = request.container_id ?? "";
  await rpc.call(StartContainer, { container_id });
  let text = "";
  for (;;) {
    const { data } = await rpc.call(ReadStdout, { container_id, exec_id: container_id, len: 4096 });
    if (data.length === 0) break;
    text += Buffer.from(data).toString();
  }
  await rpc.call(WaitProcess, { container_id, exec_id: container_id });
  await rpc.call(RemoveContainer, { container_id });
  return text;
}

function copy(rpc: TtrpcClient, path: string, data: string, file_mode = 0o100644): Promise<unknown> {
  const bytes = Buffer.from(data);
  const isLink = (file_mode & 0o170000) === 0o120000;
  return rpc.call(CopyFile, {
    path: `${SHARED}/${path}`,
    data: bytes,
    file_size: isLink ? 0n : BigInt(bytes.length),
    file_mode,
    dir_mode: 0o755,
  });
}

const SHM: Init<grpc.Storage> = {
  driver: "ephemeral",
  source: "shm",
  fstype: "tmpfs",
  options: ["noexec", "nosuid", "nodev", "mode=1777", "size=1048576"],
  mount_point: "/run/kata-containers/sandbox/shm",
};

describe("the sandbox", () => {
  it("has namespaces, a resolver and storages with their options, and leaves nothing", async () => {
    const rpc = await start();
    await inside(
      "mkdir -p /run/kata-containers/old && mount -t tmpfs tmpfs /run/kata-containers/old && touch /run/kata-containers/old/file",
    );
    await rpc.call(CreateSandbox, {
      hostname: "pod",
      dns: ["nameserver 192.0.2.1", ""],
      sandbox_id: "s",
      storages: [SHM],
    });
    expect(await inside("ls /run/kata-containers")).toBe("sandbox\n");
    expect(await inside("cat /etc/resolv.conf")).toBe("nameserver 192.0.2.1\n");
    expect(await inside("grep /sandbox/shm /proc/self/mountinfo")).toMatch(/nosuid,nodev,noexec.*size=1024k/);
    expect(await inside("stat -c %a /run/kata-containers/sandbox/shm")).toBe("1777\n");
    expect(await inside("nsenter --uts=/run/sandbox-ns/uts hostname; hostname")).toBe("pod\ngolden-guest\n");
    await rpc.call(DestroySandbox, {});
    expect(await agent?.exited).toBe(0);
  });

  it("undoes a CreateSandbox that fails in the middle, and can be asked again", async () => {
    const rpc = await start();
    const bad = { ...SHM, mount_point: "/run/kata-containers/sandbox/bad", options: ["size=banana"] };
    await expect(rpc.call(CreateSandbox, { hostname: "pod", storages: [SHM, bad] })).rejects.toMatchObject({
      code: 13,
    });
    expect(await inside("grep -c -e kata-containers/ -e sandbox-ns /proc/self/mountinfo || true")).toBe("0\n");
    expect(await inside("ls /run/kata-containers; ls /run/sandbox-ns 2>/dev/null || true")).toBe("");
    await rpc.call(CreateSandbox, { hostname: "pod", storages: [SHM] });
  });

  it("gives its containers one hostname and one shm", async () => {
    const rpc = await start();
    await rpc.call(CreateSandbox, { hostname: "pod", storages: [SHM] });
    const mounts = [{ destination: "/dev/shm", source: SHM.mount_point ?? "", type: "bind", options: ["rbind"] }];
    expect(
      await run(
        rpc,
        containerRequest("c1", ["sh", "-c", "cat /proc/sys/kernel/hostname; echo hi > /dev/shm/f"], { mounts }),
      ),
    ).toBe("pod\n");
    expect(await run(rpc, containerRequest("c2", ["cat", "/dev/shm/f"], { mounts }))).toBe("hi\n");
  });
});

describe("storages", () => {
  it("makes a local folder with mode and group, and keeps it for the pod", async () => {
    const rpc = await start();
    await rpc.call(CreateSandbox, {});
    const local = {
      driver: "local",
      source: "local",
      fstype: "local",
      options: ["mode=0770", "fsgid=100"],
      mount_point: "/run/kata-containers/sandbox/local/scratch",
    };
    const mounts = [{ destination: "/scratch", source: local.mount_point, type: "bind", options: ["rbind", "rw"] }];
    const once = { storages: [local], mounts };
    await run(rpc, containerRequest("c1", ["sh", "-c", "echo kept > /scratch/f"], once));
    expect(await inside("stat -c '%a %g' /run/kata-containers/sandbox/local/scratch")).toBe("2770 100\n");
    expect(await run(rpc, containerRequest("c2", ["cat", "/scratch/f"], once))).toBe("kept\n");
  });

  it("gives a volume to a group with all that is in it, and follows no link in it", async () => {
    const rpc = await start();
    await rpc.call(CreateSandbox, {});
    await copy(rpc, "vol/d/f", "x");
    await copy(rpc, "vol/link", "/srv/peers/term", 0o120777);
    const before = await inside("stat -c '%a %g' /srv/peers/term");
    const storage = {
      driver: "local",
      source: "local",
      fstype: "local",
      mount_point: `${SHARED}/vol`,
      fs_group: { group_id: 2000 },
    };
    await rpc.call(CreateContainer, containerRequest("c1", ["true"], { storages: [storage] }));
    expect(await inside(`cd ${SHARED} && stat -c '%n %a %g' vol vol/d vol/d/f`)).toBe(
      "vol 2775 2000\nvol/d 2775 2000\nvol/d/f 664 2000\n",
    );
    expect(await inside("stat -c '%a %g' /srv/peers/term")).toBe(before);
  });

  it.each([
    ["outside the sandbox's folders", "/etc", /expected a path below/],
    ["at a container's own root", "/run/kata-containers/c1/rootfs", /expected a path below/],
    ["at a relative path", "relative", /Invalid path/],
    ["upwards", "/run/kata-containers/sandbox/../../x", /Invalid path/],
  ])("refuses a mount point %s", async (_what, mount_point, cause) => {
    const rpc = await start();
    await rpc.call(CreateSandbox, {});
    for (const storage of [
      { ...SHM, mount_point },
      { driver: "local", mount_point },
    ]) {
      await expect(
        rpc.call(CreateContainer, containerRequest("c1", ["true"], { storages: [storage] })),
      ).rejects.toMatchObject({
        code: 13,
        message: expect.stringMatching(cause) as string,
      });
    }
    expect(await inside("ls /run/kata-containers")).toBe("");
  });

  it("does not mount through a link that was planted by CopyFile", async () => {
    const rpc = await start();
    await rpc.call(CreateSandbox, {});
    await copy(rpc, "x", "/srv", 0o120777);
    const storage = { ...SHM, mount_point: `${SHARED}/x/peers` };
    await expect(
      rpc.call(CreateContainer, containerRequest("c1", ["true"], { storages: [storage] })),
    ).rejects.toBeInstanceOf(RpcError);
    expect(await inside("grep -c ' /srv/peers ' /proc/self/mountinfo || true")).toBe("0\n");
  });
});

describe("bind mounts that the host names", () => {
  it("shows copied files, and leaves no pin behind", async () => {
    const rpc = await start();
    await rpc.call(CreateSandbox, {});
    await copy(rpc, "c1-hosts", "127.0.0.1 x\n");
    const mounts = [
      { destination: "/etc/hosts", source: `${SHARED}/c1-hosts`, type: "bind", options: ["rbind", "ro"] },
    ];
    const request = containerRequest(
      "c1",
      ["sh", "-c", "cat /etc/hosts; (echo y > /etc/hosts) 2>/dev/null || echo ro"],
      {
        mounts,
      },
    );
    expect(await run(rpc, request)).toBe("127.0.0.1 x\nro\n");
    expect(await inside("grep -c kata-containers/c1 /proc/self/mountinfo || true")).toBe("0\n");
  });

  it.each([
    ["the source itself", "evil", "evil"],
    ["a folder on the way", "evil", "evil/kata-opa"],
  ])("refuses a link: %s", async (_what, link, source) => {
    const rpc = await start();
    await rpc.call(CreateSandbox, {});
    await copy(rpc, link, "/etc", 0o120777);
    const mounts = [{ destination: "/mnt", source: `${SHARED}/${source}`, type: "bind", options: ["rbind"] }];
    await expect(rpc.call(CreateContainer, containerRequest("c1", ["true"], { mounts }))).rejects.toMatchObject({
      code: 13,
    });
    expect(await inside("ls /run/kata-containers")).toBe("shared\n");
  });

  it("refuses a path of the guest that leads there by a link", async () => {
    const rpc = await start({ prepare: "ln -s /run/kata-containers/shared /srv/way" });
    await rpc.call(CreateSandbox, {});
    await copy(rpc, "f", "x");
    const mounts = [{ destination: "/mnt", source: "/srv/way/containers/f", type: "bind", options: ["rbind"] }];
    await expect(rpc.call(CreateContainer, containerRequest("c1", ["true"], { mounts }))).rejects.toThrow(
      "symbolic link",
    );
  });

  it("refuses a root that is reached by a link", async () => {
    const rpc = await start();
    await rpc.call(CreateSandbox, {});
    await copy(rpc, "root", "/srv/peers/rootfs", 0o120777);
    const request = containerRequest("c1", ["true"], { root: `${SHARED}/root` });
    await expect(rpc.call(CreateContainer, request)).rejects.toMatchObject({
      code: 13,
      message: expect.stringContaining("failed to mount") as string,
    });
  });
});

/** A hub of the test's own behind the agent's socket, reached through the harness's folder. */
async function hub(
  folder: string,
  pull: (image: string, bundle: string, signal: AbortSignal) => Promise<void>,
): Promise<Listener> {
  const server = new TtrpcServer().addService(ImagePullService, {
    PullImage: async ({ image_url, bundle_path }, { signal }) => {
      await pull(image_url, bundle_path, signal);
      return {};
    },
  });
  const listener = await listen(`unix://${join(folder, "cdh.sock")}`, (transport) => server.serve(transport));
  undo.push(async () => {
    await listener.close();
    await server.close({ graceMs: 1 });
  });
  return listener;
}

/** The agent looks for the hub below /run: the harness's folder is shown there. */
const WITH_HUB = {
  prepare:
    'mkdir -p /run/confidential-containers && ln -s "$STATE/vsock/cdh.sock" /run/confidential-containers/cdh.sock',
};

function pullStorage(id: string, source: string, metadata: Record<string, string> = {}): Init<grpc.Storage> {
  return {
    driver: "image_guest_pull",
    source,
    fstype: "overlay",
    driver_options: [`image_guest_pull=${JSON.stringify({ metadata })}`],
    mount_point: `/run/kata-containers/${id}/rootfs`,
  };
}

describe("images pulled in the guest", () => {
  it("runs what the hub put into the bundle, and removes it with the container", async () => {
    const rpc = await start(WITH_HUB);
    const asked: string[] = [];
    await hub(join(agent?.state ?? "", "vsock"), async (image, bundle) => {
      asked.push(image);
      await inside(
        `mkdir -p ${bundle}/rootfs && mount --bind /srv/peers/rootfs ${bundle}/rootfs && echo '{}' > ${bundle}/config.json`,
      );
    });
    await rpc.call(CreateSandbox, {});
    const request = containerRequest("c1", ["echo", "pulled"], { storages: [pullStorage("c1", "registry.test/a:1")] });
    expect(await run(rpc, request)).toBe("pulled\n");
    expect(asked).toEqual(["registry.test/a:1"]);
    expect(await inside("ls /run/kata-containers; grep -c kata-containers/c1 /proc/self/mountinfo || true")).toBe(
      "0\n",
    );
  });

  it("passes the end of the caller on to the hub, and leaves nothing", async () => {
    const rpc = await start(WITH_HUB);
    const started = Promise.withResolvers<void>();
    const stopped = Promise.withResolvers<void>();
    await hub(join(agent?.state ?? "", "vsock"), async (_image, bundle, signal) => {
      await inside(`mkdir -p ${bundle}/rootfs`);
      signal.addEventListener("abort", () => stopped.resolve());
      started.resolve();
      await stopped.promise;
      throw new Error("stopped");
    });
    await rpc.call(CreateSandbox, {});
    const caller = new AbortController();
    const storages = [pullStorage("c1", "registry.test/slow:1")];
    const call = rpc.call(CreateContainer, containerRequest("c1", ["true"], { storages }), {
      timeoutMs: 60_000,
      signal: caller.signal,
    });
    call.catch(() => undefined);
    await started.promise;
    // Another container is made meanwhile: no lock spans the pull.
    expect(await run(rpc, containerRequest("c2", ["echo", "meanwhile"]))).toBe("meanwhile\n");
    client?.close();
    await stopped.promise;
    await expect(call).rejects.toBeInstanceOf(Error);
    client = new TtrpcClient(await dial(`unix://${agent?.socket ?? ""}`));
    // The id is free again as soon as the leftovers are gone.
    const folder = `/proc/${agent?.init ?? 0}/root/run/kata-containers`;
    await changed(folder, () => readdirSync(folder).length === 0);
    expect(await run(client, containerRequest("c1", ["echo", "again"]))).toBe("again\n");
  });

  it("tells the hub's refusal with its cause", async () => {
    const rpc = await start(WITH_HUB);
    await hub(join(agent?.state ?? "", "vsock"), () => Promise.reject(new RpcError(13, "manifest unknown")));
    await rpc.call(CreateSandbox, {});
    const storages = [pullStorage("c1", "registry.test/none:1")];
    await expect(rpc.call(CreateContainer, containerRequest("c1", ["true"], { storages }))).rejects.toMatchObject({
      code: 13,
      message: "pulling image registry.test/none:1\n\nCaused by:\n    manifest unknown",
    });
    expect(await inside("ls /run/kata-containers")).toBe("");
  });

  it("refuses an annotation that names another image, and a second pull at one mount point", async () => {
    const rpc = await start(WITH_HUB);
    await rpc.call(CreateSandbox, {});
    const named = pullStorage("c1", "r/a:1", { "io.kubernetes.cri.image-name": "r/b:1" });
    await expect(rpc.call(CreateContainer, containerRequest("c1", ["true"], { storages: [named] }))).rejects.toThrow(
      "r/b:1",
    );
    const elsewhere = { ...pullStorage("c1", "r/a:1"), mount_point: "/run/kata-containers/c2/rootfs" };
    await expect(
      rpc.call(CreateContainer, containerRequest("c1", ["true"], { storages: [elsewhere] })),
    ).rejects.toThrow("expected mount point /run/kata-containers/c1/rootfs");
  });

  it("refuses a container type that the storage and the annotations do not agree on", async () => {
    const rpc = await start();
    await rpc.call(CreateSandbox, {});
    const annotations = { "io.kubernetes.cri.container-type": "sandbox" };
    const request = containerRequest("p1", ["true"], { storages: [pullStorage("p1", "pause", annotations)] });
    await expect(rpc.call(CreateContainer, request)).rejects.toThrow("container type: the storage says sandbox");
  });
});

describe("the components", () => {
  it("are started before the port opens, and again when they end", async () => {
    // Stands for the hub: opens the socket, then ends with the process that it was told to watch.
    const script = `#!${process.execPath}
      import { createServer } from "node:net";
      import { appendFileSync } from "node:fs";
      appendFileSync("/run/vsock/starts", process.pid + " " + JSON.stringify(process.env) + "\\n");
      createServer((socket) => socket.destroy()).listen("/run/confidential-containers/cdh.sock");
    `;
    const aa = `#!${process.execPath}
      import { createServer } from "node:net";
      createServer((socket) => socket.destroy()).listen(process.argv.at(-1).slice("unix://".length));
    `;
    await start({
      config: 'guest_components_procs = "confidential-data-hub"\n',
      prepare: [
        "mkdir -p /run/local /run/confidential-containers/attestation-agent",
        "touch /run/confidential-containers/cdh.sock",
        `cat > /run/local/confidential-data-hub.mjs <<'END'\n${script}\nEND`,
        "printf '#!/bin/sh\\nexec " +
          process.execPath +
          " /run/local/confidential-data-hub.mjs\\n' > /run/local/confidential-data-hub",
        // Stands for the attestation agent.
        `cat > /run/local/attestation-agent.mjs <<'END'\n${aa}\nEND`,
        "printf '#!/bin/sh\\nexec " +
          process.execPath +
          ' /run/local/attestation-agent.mjs "$@"\\n\' > /run/local/attestation-agent',
        "chmod +x /run/local/*",
        "mount --bind /run/local /usr/local/bin",
      ].join("\n"),
    });
    const file = join(agent?.state ?? "", "vsock/starts");
    const starts = (): string[] => readFileSync(file, "utf8").trim().split("\n");
    const [first] = starts();
    expect(first).toMatch(/"PATH":/);
    expect(first).not.toMatch(/KATA_AGENT/);
    await inside(`kill -9 ${first?.split(" ")[0] ?? ""}`);
    await changed(file, () => starts().length === 2);
    await agent?.logged("guest component ended, it is started again");
  });

  it("end the agent when one cannot become ready", async () => {
    await expect(
      start({
        config: 'guest_components_procs = "confidential-data-hub"\n',
        prepare: [
          "mkdir -p /run/local",
          "printf '#!/bin/sh\\nexec sleep 1000\\n' > /run/local/attestation-agent",
          "printf '#!/bin/sh\\nexit 7\\n' > /run/local/confidential-data-hub",
          "chmod +x /run/local/*",
          "mount --bind /run/local /usr/local/bin",
        ].join("\n"),
      }),
    ).rejects.toThrow(/ended before it was ready: exit status 7/);
  });
});
