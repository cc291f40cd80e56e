import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { DEFAULT_REGISTRIES, digestOf, type Http } from "oci-client";
import { hostPlatform, ImagePuller, type Unpacking } from "./image-puller.ts";
import { systemClock } from "./node-http.ts";

const BLOCK = 512;

/**
 * Pulls an image of two files from memory into a scratch directory and forgets it. A container waits for the first real
 * pull, which then finds the code compiled and the libraries loaded. Nothing is mounted, no request leaves the process,
 * and nothing is left. Rejects when any of it fails.
 */
export async function rehearsePull(unpacking: Unpacking): Promise<void> {
  // A real pull that comes before the thread is up must find it free, and not start a second one.
  await unpacking.warm();
  const scratch = await mkdtemp(join(tmpdir(), "image-puller-"));
  try {
    const puller = await ImagePuller.open({
      workDir: join(scratch, "store"),
      http: memoryRegistry(),
      clock: systemClock,
      sys: { mount: () => Promise.resolve(), umount2: () => Promise.resolve() },
      unpacking,
      registries: DEFAULT_REGISTRIES,
    });
    await puller.pull("localhost/rehearsal", join(scratch, "bundle"));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** A registry that has one image, whatever it is called. */
function memoryRegistry(): Http {
  const archive = Buffer.concat([
    member("d/", "5", ""),
    member("d/file", "0", ""),
    member("d/link", "1", "d/file"),
    Buffer.alloc(2 * BLOCK),
  ]);
  const layer = gzipSync(archive);
  const { os, architecture } = hostPlatform();
  const rootfs = { type: "layers", diff_ids: [digestOf(archive)] };
  const config = Buffer.from(JSON.stringify({ os, architecture, config: {}, rootfs }));
  const type = "application/vnd.oci.image.manifest.v1+json";
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: type,
      config: descriptor("application/vnd.oci.image.config.v1+json", config),
      layers: [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer)],
    }),
  );
  const blobs = new Map([config, layer].map((bytes) => [digestOf(bytes), bytes]));
  return {
    send: async ({ url }) => ({
      status: 200,
      headers: { "content-type": type },
      body: (async function* () {
        yield blobs.get(url.pathname.split("/").at(-1) ?? "") ?? manifest;
      })(),
      discard: () => undefined,
    }),
  };
}

function descriptor(mediaType: string, bytes: Buffer): object {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

/** A header of ustar (POSIX.1-1988) for a member without contents that belongs to root. */
function member(name: string, type: string, link: string): Buffer {
  const header = Buffer.alloc(BLOCK);
  header.write(name, 0);
  header.write("0000755\0" + "0000000\0".repeat(2) + "00000000000\0".repeat(2) + " ".repeat(8) + type + link, 100);
  header.write("ustar\x0000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0`, 148);
  return header;
}
