import { randomBytes } from "node:crypto";

import { AgentService } from "@nacre/protocols";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { AttackedGuest } from "../fixtures/attacked-guest.ts";
import { GuestContainers } from "../fixtures/guest-containers.ts";
import { busyboxLayer, hostArchitecture, sha256 } from "../fixtures/image.ts";
import { type PushedImage, pushImage, pushIndex } from "../fixtures/registry.ts";
import { startFront } from "../fixtures/registry-front.ts";
import { tar } from "../fixtures/tar.ts";

const { CreateContainer, SetPolicy } = AgentService.methods;

/** The image's policy with an opinion on what is pulled: `web` and `job` are one image each, by digest. */
function pinning(open: string, digests: { readonly web: string; readonly job: string }): string {
  const rest = open
    .split("\n")
    .filter((line) => !/^default (?:CreateContainer|PulledImage)Request/u.test(line))
    .join("\n");
  return `${rest}
default CreateContainerRequest := {"allowed": false}

CreateContainerRequest := {"allowed": true, "ops": ops} if {
	name := input.OCI.Annotations["io.kubernetes.cri.container-name"]
	ops := [{"op": "add", "path": concat("/", ["", "pstate", input.container_id]), "value": name}]
}

default PulledImageRequest := false

digests := ${JSON.stringify(digests)}

PulledImageRequest if {
	input.manifest_digest == digests[data.pstate[input.container_id]]
	startswith(input.config_digest, "sha256:")
	count(input.diff_ids) > 0
}
`;
}

describe("a policy on pulled images", () => {
  let guest: AttackedGuest;
  let images: { readonly web: PushedImage; readonly job: PushedImage; readonly index: string };
  let before: Record<string, string[]>;
  let open: string;
  beforeAll(async () => {
    guest = await AttackedGuest.start();
    const { registry } = guest.guest;
    const layers = [busyboxLayer()];
    const web = await pushImage(registry, "pinned/web:1", { layers, config: { Labels: { role: "web" } } });
    const job = await pushImage(registry, "pinned/job:1", { layers, config: { Labels: { role: "job" } } });
    const platform = { os: "linux", architecture: hostArchitecture() };
    await pushIndex(registry, "pinned/web:index", [{ image: web, platform }]);
    images = { web, job, index: `${registry.address}/pinned/web:index` };
    open = await guest.text("/etc/kata-opa/default-policy.rego");
    before = await guest.holdings();
  });
  afterAll(() => guest[Symbol.asyncDispose]());

  const named = (name: string) => ({ annotations: { "io.kubernetes.cri.container-name": name } });
  const create = (id: string, name: string, image: string) =>
    guest.reply(CreateContainer, guest.request(id, { image, ...named(name) }));
  const put = async (text: string): Promise<void> => {
    await guest.rpc.call(SetPolicy, { policy: text });
  };
  const blocked = { code: 7, message: '"PulledImageRequest is blocked by policy: "' };

  it("runs each container from the image that the policy means by it, also by an index", async () => {
    await put(pinning(open, { web: images.web.manifestDigest, job: images.job.manifestDigest }));
    for (const image of [images.web.reference, images.index]) {
      expect(await guest.print("w1", ["echo", "web"], { image, ...named("web") })).toBe("web\n");
    }
    expect(await guest.holdings()).toEqual(before);
  });

  it("refuses what the registry has in its place, and removes it", async () => {
    await put(pinning(open, { web: sha256("another"), job: images.job.manifestDigest }));
    expect(await create("w1", "web", images.web.reference)).toEqual(blocked);
    expect(await guest.holdings()).toEqual(before);
    // The id is free again, and so is the guest.
    expect(await guest.print("w1", ["echo", "job"], { image: images.job.reference, ...named("job") })).toBe("job\n");
  });

  it("does not let two allowed images take each other's place", async () => {
    await put(pinning(open, { web: images.web.manifestDigest, job: images.job.manifestDigest }));
    expect(await create("a1", "web", images.job.reference)).toEqual(blocked);
    expect(await create("b1", "job", images.web.reference)).toEqual(blocked);
    expect(await guest.holdings()).toEqual(before);
  });

  it("does not ask about the pause container, and a policy without the rule pins nothing", async () => {
    await put(open.replace("default PulledImageRequest := true\n", ""));
    expect(await guest.print("w1", ["echo", "unpinned"], { image: images.web.reference })).toBe("unpinned\n");
    expect(guest.guest.guest.log()).toContain("does not say which images may run");
  });

  it("a rule without an answer refuses", async () => {
    const undefinedFor = (condition: string): string =>
      open.replace("default PulledImageRequest := true\n", `PulledImageRequest if ${condition}\n`);
    await put(undefinedFor("input.manifest_digest == input.nothing"));
    expect(await create("w1", "web", images.web.reference)).toMatchObject({ code: 13 });
    expect(await guest.holdings()).toEqual(before);
    await put(open);
  });

  it("keeps nobody else waiting while it is pulled", async () => {
    const { registry, guest: machine } = guest.guest;
    const layers = [busyboxLayer(), tar([{ name: "filler", data: randomBytes(200_000) }])];
    const { reference } = await pushImage(registry, "pinned/slow:1", { layers });
    const [asked, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const { address, server } = await startFront(
      registry,
      ({ large, body, response }) => {
        if (large) asked.resolve();
        void (large ? released.promise : Promise.resolve()).then(() => response.end(body));
      },
      machine.gateway,
    );
    try {
      const containers = new GuestContainers(guest);
      const neighbour = await containers.run("echo up; read x");
      expect(await neighbour.until("\n")).toBe("up\n");
      let answered = false;
      const image = reference.replace(registry.address, address);
      const creating = guest.reply(CreateContainer, guest.request("slow", { image })).finally(() => (answered = true));
      await Promise.race([asked.promise, creating.then((reply) => Promise.reject(new Error(reply.message)))]);
      // None of these can end before the layer is there if anything is locked across the pull.
      expect((await neighbour.stats()).tasks).toBe(1n);
      const beside = await containers.exec(neighbour, "beside", "echo beside; exit 7");
      expect(await beside.output()).toBe("beside\n");
      expect(await beside.wait()).toBe(7);
      expect(await guest.print("other", ["echo", "other"])).toBe("other\n");
      expect(answered).toBe(false);
      released.resolve();
      expect(await creating).toEqual({ code: 0, message: "" });
      await guest.remove("slow");
      await neighbour.remove();
      expect(await guest.holdings()).toEqual(before);
    } finally {
      released.resolve();
      server.closeAllConnections();
      server.close();
    }
  });
});
