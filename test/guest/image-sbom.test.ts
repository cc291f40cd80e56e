import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { FLAVOURS } from "../../guest-rootfs/flavour.ts";
import { readLock } from "../../guest-rootfs/debian/lock.ts";
import { DEBIAN, LOCK } from "../../guest-rootfs/paths.ts";
import { builtImage } from "../fixtures/boot-image.ts";

interface Spdx {
  readonly spdxVersion: string;
  readonly documentNamespace: string;
  readonly packages: readonly {
    readonly SPDXID: string;
    readonly name: string;
    readonly versionInfo?: string;
    readonly filesAnalyzed: boolean;
    readonly packageVerificationCode?: { readonly packageVerificationCodeValue: string };
    readonly checksums?: readonly { readonly algorithm: string; readonly checksumValue: string }[];
    readonly externalRefs?: readonly { readonly referenceLocator: string }[];
  }[];
  readonly files: readonly {
    readonly SPDXID: string;
    readonly fileName: string;
    readonly checksums: readonly { readonly algorithm: string; readonly checksumValue: string }[];
  }[];
  readonly relationships: readonly {
    readonly spdxElementId: string;
    readonly relationshipType: string;
    readonly relatedSpdxElement: string;
  }[];
}

describe.for(FLAVOURS)("the bill of materials of the %s image", (flavour) => {
  const image = builtImage(flavour);
  const read = (name: string): unknown => JSON.parse(readFileSync(join(image.folder, name), "utf8"));
  const spdx = read("sbom.spdx.json") as Spdx;
  const listed = (read("manifest.json") as { path: string; type: string; sha256?: string; origin?: string }[]).filter(
    ({ type }) => type === "file",
  );
  const purls = new Map(
    spdx.packages.flatMap(({ SPDXID, externalRefs }) =>
      (externalRefs ?? []).map(({ referenceLocator }) => [referenceLocator, SPDXID]),
    ),
  );

  it("lists every file of the root with its digest", () => {
    expect(spdx.spdxVersion).toBe("SPDX-2.3");
    expect(spdx.documentNamespace).toContain(image.rootHash);
    const digest = (file: Spdx["files"][number], algorithm: string): string | undefined =>
      file.checksums.find((checksum) => checksum.algorithm === algorithm)?.checksumValue;
    expect(spdx.files.map((file) => [file.fileName, digest(file, "SHA256")])).toEqual(
      listed.map(({ path, sha256 }) => [`.${path}`, sha256]),
    );
    const sha1s = spdx.files.map((file) => digest(file, "SHA1") ?? "").sort();
    expect(spdx.packages[0]?.packageVerificationCode?.packageVerificationCodeValue).toBe(
      createHash("sha1").update(sha1s.join("")).digest("hex"),
    );
  });

  it("says of each file whose it is", () => {
    for (const { path, origin } of listed) {
      const file = spdx.files.find(({ fileName }) => fileName === `.${path}`)?.SPDXID;
      const from = spdx.relationships.filter(
        ({ spdxElementId, relationshipType }) => spdxElementId === file && relationshipType === "GENERATED_FROM",
      );
      expect([path, from.map(({ relatedSpdxElement }) => relatedSpdxElement)]).toEqual([
        path,
        expect.arrayContaining([purls.get(origin ?? "")]),
      ]);
    }
    const bundled = spdx.relationships.filter(
      ({ relatedSpdxElement }) => relatedSpdxElement === purls.get("pkg:npm/smol-toml@1.9.1"),
    );
    expect(bundled.some(({ relationshipType }) => relationshipType === "GENERATED_FROM")).toBe(true);
  });

  it("names no element that is not there, and none twice", () => {
    const ids = [
      "SPDXRef-DOCUMENT",
      ...spdx.packages.map(({ SPDXID }) => SPDXID),
      ...spdx.files.map(({ SPDXID }) => SPDXID),
    ];
    expect(new Set(ids).size).toBe(ids.length);
    for (const { spdxElementId, relatedSpdxElement } of spdx.relationships) {
      expect(ids).toContain(spdxElementId);
      expect(ids).toContain(relatedSpdxElement);
    }
  });

  it("has Debian's packages by the digests of their files, which are the lock's unless the image says otherwise", () => {
    const debian = spdx.packages.filter(
      ({ externalRefs }) => externalRefs?.[0]?.referenceLocator.startsWith("pkg:deb/") === true,
    );
    expect(debian.length).toBeGreaterThan(10);
    const digests = debian.map(({ checksums }) => checksums?.[0]?.checksumValue ?? "");
    for (const digest of digests) {
      const file = readFileSync(join(DEBIAN, "amd64/debs", `${digest}.deb`));
      expect(createHash("sha256").update(file).digest("hex")).toBe(digest);
    }
    const lock = Object.values(readLock(LOCK)["amd64"] ?? {});
    const locked = debian.map(({ name, versionInfo, checksums }) =>
      lock.some(
        (one) => one.name === name && one.version === versionInfo && one.sha256 === checksums?.[0]?.checksumValue,
      ),
    );
    // The archive keeps only the newest of a release: a lock that is older than that is no fault of the build's.
    if (image.locked) expect(locked).not.toContain(false);
  });
});
