import { describe, expect, it } from "vitest";
import { digestOf, layerEncoding, OciError, parseImageConfig, parseManifest, selectPlatform } from "../src/index.ts";
import { seeded } from "../../../test/fixtures/seeded.ts";

const DIGEST = digestOf(Buffer.from("x"));
const OCI_IMAGE = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
const descriptor = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: DIGEST, size: 1 };
const image = { schemaVersion: 2, config: descriptor, layers: [descriptor] };
const bytes = (value: unknown): Buffer => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));

describe("parseManifest", () => {
  it("reads an image without media type", () => {
    expect(parseManifest(bytes(image))).toMatchObject({
      kind: "image",
      config: { digest: DIGEST, size: 1 },
      layers: [{ digest: DIGEST, size: 1, annotations: {} }],
    });
  });

  it("reads an index with platforms", () => {
    const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [{ ...descriptor, platform: { os: "linux" } }] };
    expect(parseManifest(bytes(index), OCI_INDEX)).toMatchObject({
      kind: "index",
      manifests: [{ digest: DIGEST, platform: { os: "linux", architecture: "" } }],
    });
  });

  it.each<[string, unknown, string | undefined, string]>([
    ["text", "hello", undefined, "not a JSON document"],
    ["bytes that are not UTF-8", "\u00ff", undefined, "not a JSON document"],
    ["a list", [], undefined, "expected a JSON object"],
    ["schema 1", { ...image, schemaVersion: 1 }, undefined, "expected schemaVersion 2, got 1"],
    ["both kinds", { ...image, manifests: [] }, undefined, "ambiguous"],
    ["neither kind", { schemaVersion: 2 }, undefined, "neither an image nor an index"],
    ["an image that says it is an index", { ...image, mediaType: OCI_INDEX }, undefined, "ambiguous"],
    [
      "an index that says it is an image",
      { schemaVersion: 2, mediaType: OCI_IMAGE, manifests: [] },
      undefined,
      "ambiguous",
    ],
    ["an image of unknown type", { ...image, mediaType: "text/plain" }, undefined, "ambiguous"],
    ["an image sent as an index", image, `${OCI_INDEX}; charset=utf-8`, "ambiguous"],
    ["a negative size", { ...image, config: { ...descriptor, size: -1 } }, undefined, "config: size"],
    ["a fractional size", { ...image, layers: [{ ...descriptor, size: 0.5 }] }, undefined, "layer 0: size"],
    ["a huge size", { ...image, layers: [{ ...descriptor, size: 2 ** 60 }] }, undefined, "layer 0: size"],
    ["a layer without digest", { ...image, layers: [{ size: 1 }] }, undefined, 'digest ""'],
    ["layers that are no list", { ...image, layers: {} }, undefined, "layers is not a list"],
    ["501 layers", { ...image, layers: Array.from({ length: 501 }, () => descriptor) }, undefined, "at most 500"],
    ["no config", { schemaVersion: 2, layers: [] }, undefined, "config is not a descriptor"],
  ])("refuses %s", (_, document, contentType, why) => {
    const raw = document === "\u00ff" ? Buffer.from([0x7b, 0xff, 0x7d]) : bytes(document);
    expect(() => parseManifest(raw, contentType)).toThrow(why);
    expect(() => parseManifest(raw, contentType)).toThrow(OciError);
  });

  it("gives a manifest or an OciError for any change of a good one", () => {
    const random = seeded(2);
    const good = bytes({ ...image, mediaType: OCI_IMAGE });
    let refused = 0;
    for (let round = 0; round < 3000; round += 1) {
      const changed = Buffer.from(good);
      for (let flips = random(4) + 1; flips > 0; flips -= 1) changed[random(changed.length)] = random(256);
      try {
        parseManifest(changed);
      } catch (error) {
        expect(error).toBeInstanceOf(OciError);
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(1000);
  });
});

describe("selectPlatform", () => {
  const entry = (os: string, architecture: string, size: number): object => ({
    ...descriptor,
    size,
    platform: { os, architecture },
  });
  const index = parseManifest(
    bytes({
      schemaVersion: 2,
      manifests: [
        descriptor,
        entry("unknown", "unknown", 2),
        entry("linux", "arm64", 3),
        entry("linux", "amd64", 4),
        entry("linux", "amd64", 5),
      ],
    }),
  );
  if (index.kind !== "index") throw new Error("not an index");

  it("takes the first entry of the platform", () => {
    expect(selectPlatform(index, { os: "linux", architecture: "amd64" }).size).toBe(4);
    expect(selectPlatform(index, { os: "linux", architecture: "arm64" }).size).toBe(3);
  });

  it("names what there is when there is none", () => {
    expect(() => selectPlatform(index, { os: "linux", architecture: "s390x" })).toThrow(
      "no image for linux/s390x in the index, which has ?, unknown/unknown, linux/arm64, linux/amd64",
    );
  });
});

describe("layerEncoding", () => {
  it.each([
    ["application/vnd.oci.image.layer.v1.tar", "none", false],
    ["application/vnd.oci.image.layer.v1.tar+gzip", "gzip", false],
    ["application/vnd.oci.image.layer.v1.tar+zstd", "zstd", false],
    ["application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "gzip", false],
    ["application/vnd.docker.image.rootfs.diff.tar", "none", false],
    ["application/vnd.docker.image.rootfs.diff.tar.gzip", "gzip", false],
    ["application/vnd.docker.image.rootfs.diff.tar.zstd", "zstd", false],
    ["application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "gzip", false],
    ["application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "gzip", true],
    ["application/vnd.oci.image.layer.v1.tar+encrypted", "none", true],
  ])("%s", (mediaType, compression, encrypted) => {
    expect(layerEncoding(mediaType)).toEqual({ compression, encrypted });
  });

  it.each([
    "",
    "text/plain",
    "application/vnd.oci.image.layer.v1.tar+bzip2",
    "xapplication/vnd.oci.image.layer.v1.tar",
  ])("refuses %j", (mediaType) => {
    expect(() => layerEncoding(mediaType)).toThrow("unhandled media type");
  });
});

describe("parseImageConfig", () => {
  const config = { os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: [DIGEST] } };

  it("reads what is used", () => {
    const run = {
      Entrypoint: ["/e"],
      Cmd: ["c"],
      Env: ["A=b"],
      WorkingDir: "/w",
      User: "1:2",
      Labels: { l: "v" },
      Volumes: { "/v": {} },
      ExposedPorts: { "80/tcp": {} },
      StopSignal: "SIGINT",
    };
    expect(parseImageConfig(bytes({ ...config, variant: "v3", config: run }))).toEqual({
      os: "linux",
      architecture: "amd64",
      variant: "v3",
      osFeatures: [],
      diffIds: [DIGEST],
      entrypoint: ["/e"],
      cmd: ["c"],
      env: ["A=b"],
      workingDir: "/w",
      user: "1:2",
      stopSignal: "SIGINT",
      labels: { l: "v" },
      volumes: ["/v"],
      exposedPorts: ["80/tcp"],
    });
  });

  it("takes null for what is not there", () => {
    const run = { Entrypoint: null, Cmd: null, Env: null, Labels: null, Volumes: null };
    expect(parseImageConfig(bytes({ ...config, config: run }))).toMatchObject({
      entrypoint: [],
      labels: {},
      volumes: [],
    });
  });

  it.each<[unknown, string]>([
    [{ ...config, rootfs: undefined }, "rootfs is not of type layers"],
    [{ ...config, rootfs: { type: "layers", diff_ids: ["x"] } }, 'digest "x"'],
    [{ ...config, config: [] }, "config is not an object"],
    [{ ...config, config: { Env: "A=b" } }, "Env is not a list of strings"],
    [{ ...config, config: { Labels: { a: 1 } } }, "Labels is not a map of strings"],
    [{ ...config, os: 1 }, "os is not a string"],
  ])("refuses %j", (document, why) => {
    expect(() => parseImageConfig(bytes(document))).toThrow(why);
  });
});
