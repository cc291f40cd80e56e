import { join } from "node:path";

import { linuxSyscalls, mountInfo } from "@nacre/kata-sys-util";
import { ImagePullService } from "@nacre/protocols";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { ALLOW, DataHubStack, DENY } from "../fixtures/data-hub.ts";
import { hostArchitecture } from "../fixtures/image.ts";
import { busyboxImage, type PushedImage, pushIndex, type Registry, startRegistry } from "../fixtures/registry.ts";
import { Signer } from "../fixtures/signer.ts";

const { PullImage } = ImagePullService.methods;
const sys = linuxSyscalls();
const POLICY = "default/security-policy/test";
const SIGSTORE = "default/sigstore-config/test";

const GPG_KEY = "keys/gpg/1";
const REQUIRES_GPG = { type: "signedBy", keyType: "GPGKeys", keyPath: `kbs:///${GPG_KEY}` };

let registry: Registry;
let signer: Signer;
let ring: Buffer;
let cosign: object;
let stack: DataHubStack;
let image: PushedImage;
beforeAll(async () => {
  registry = await startRegistry();
  signer = new Signer();
  ring = signer.newGpgKey("signer@nacre.test");
  cosign = {
    type: "sigstoreSigned",
    keyData: Buffer.from(signer.cosignKey).toString("base64"),
    signedIdentity: { type: "matchRepository" },
  };
  image = await busyboxImage(registry, "signed:1");
  signer.signByGpg(image.reference, "signer@nacre.test");
  await signer.signByCosign(registry, "signed", image.manifestDigest);
  await busyboxImage(registry, "unsigned:1", { config: { Cmd: ["false"] } });
  const platform = await busyboxImage(registry, "multi:part", { config: { Cmd: ["true"] } });
  const index = await pushIndex(registry, "multi:1", [
    { image: platform, platform: { os: "linux", architecture: hostArchitecture() } },
  ]);
  await signer.signByCosign(registry, "multi", index);
  stack = await DataHubStack.start();
  await stack.put(SIGSTORE, `default-docker:\n  sigstore: ${signer.lookaside}\n`);
  await stack.put(GPG_KEY, ring);
  await stack.stopHub();
});
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  signer[Symbol.dispose]();
  await registry.close();
});
afterEach(async () => {
  await stack.stopHub();
  for (const { mountPoint } of (await mountInfo()).toReversed()) {
    if (mountPoint.startsWith(`${stack.folder}/`)) await sys.umount2(mountPoint);
  }
});

const URIS = `image_security_policy_uri = "kbs:///${POLICY}"\nsigstore_config_uri = "kbs:///${SIGSTORE}"\n`;
let bundles = 0;

/** Pulls with a hub of that policy; "pulled", or why not. */
async function pull(requirements: readonly object[], name: string, policies = URIS): Promise<string> {
  const docker = { [registry.address]: requirements };
  await stack.put(POLICY, JSON.stringify({ default: [{ type: "reject" }], transports: { docker } }));
  const registries = `[[image.registry_config.registry]]\nlocation = "${registry.address}"\ninsecure = true\n`;
  await stack.stopHub();
  await stack.startHub({ tables: `${policies}${registries}` });
  return await pullMore(name);
}

async function pullMore(name: string): Promise<string> {
  bundles += 1;
  const request = {
    image_url: name.includes(".test") ? name : `${registry.address}/${name}`,
    bundle_path: join(stack.folder, `bundle-${bundles}`),
  };
  return await stack.call(PullImage, request).then(
    () => "pulled",
    (error: unknown) => (error instanceof Error ? error.message : "unknown"),
  );
}

const DENIED = "Image policy rejected: Denied by policy";

describe("an image of a registry whose policy is the broker's", () => {
  it("comes where GPG has signed it, and where it is pinned", async () => {
    expect(await pull([REQUIRES_GPG], "signed:1")).toBe("pulled");
    expect(stack.lines.join("\n")).toContain(`signedBy ${image.manifestDigest} as ${image.reference}`);
    expect(await pullMore(`signed@${image.manifestDigest}`)).toBe("pulled");
  });

  it("is refused by name where it is not signed, also when every layer is there", async () => {
    const text = await pull([REQUIRES_GPG], "unsigned:1");
    expect(text).toContain("[CDH] [ERROR]: Image Pull error: ");
    expect(text).toContain(`${DENIED}: ${registry.address}/unsigned:1`);
    expect(text).toContain("no signature was found");
    // Its one layer is that of the signed image.
    expect(await pullMore("signed:1")).toBe("pulled");
    expect(await pullMore("unsigned:1")).toContain(DENIED);
  });

  it("is refused where the key is another one, has ended, or is revoked", async () => {
    await stack.put(GPG_KEY, signer.newGpgKey("other@nacre.test"));
    expect(await pull([REQUIRES_GPG], "signed:1")).toContain("not by a valid key of the policy");
    await stack.put(GPG_KEY, signer.revoked("signer@nacre.test"));
    expect(await pull([REQUIRES_GPG], "signed:1")).toContain("not by a valid key of the policy");
    await stack.put(GPG_KEY, ring);
    expect(await pull([REQUIRES_GPG], "signed:1")).toBe("pulled");
  });

  it("comes where a cosign key has signed its manifest or the index that names it", async () => {
    expect(await pull([cosign], "signed:1")).toBe("pulled");
    expect(await pullMore("multi:1")).toBe("pulled");
    expect(await pullMore("unsigned:1")).toContain("no signature was found");
  });

  it("needs all that the policy asks for, and the name", async () => {
    expect(await pull([cosign, REQUIRES_GPG], "signed:1")).toBe("pulled");
    expect(await pullMore("multi:1")).toContain("signedBy");
    const named = { ...cosign, signedIdentity: { type: "exactRepository", dockerRepository: "vendor.test/app" } };
    expect(await pull([named], "signed:1")).toContain("which exactRepository does not take");
  });

  it("is judged by the name that was asked for, whatever mirror it comes from", async () => {
    const mirror = `[[image.registry_config.registry]]\nlocation = "app.test/team"\n[[image.registry_config.registry.mirror]]\nlocation = "${registry.address}"\ninsecure = true\n`;
    expect(await pull([cosign], "app.test/team/signed:1", `${URIS}${mirror}`)).toContain(
      "the policy rejects every image",
    );
  });

  it("is refused where the policy is missing, malformed, or not for this guest, and comes when it is there", async () => {
    await pull([cosign], "unsigned:1");
    await stack.stopHub();
    await stack.put(POLICY, '{"default":[]}');
    const registries = `[[image.registry_config.registry]]\nlocation = "${registry.address}"\ninsecure = true\n`;
    await stack.startHub({ tables: `${URIS}${registries}` });
    expect(await pullMore("signed:1")).toMatch(/Invalid image policy file[^]*default: expected a list/u);
    await stack.setPolicy(DENY);
    expect(await pullMore("signed:1")).toContain("[CDH] [ERROR]: Image Pull error: ");
    await stack.setPolicy(ALLOW);
    await stack.put(POLICY, '{"default":[{"type":"insecureAcceptAnything"}]}');
    expect(await pullMore("signed:1")).toBe("pulled");
  });
});
