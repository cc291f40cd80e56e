import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { parse } from "smol-toml";

import { lockedNpmPackage } from "../npm-package.ts";
import { OWN_ORIGIN } from "../origin.ts";
import { ROOT } from "../paths.ts";
import type { ListedEntry } from "./verity-disk.ts";

/** Whose bytes an image holds: a package URL, and a digest of the package where there is one. */
export interface Component {
  readonly purl: string;
  readonly checksum?: { readonly algorithm: "SHA256" | "SHA512"; readonly value: string };
}

/** What a bill of materials is made from. */
export interface SbomOptions {
  /** Of the image, such as nacre-guest-kata. */
  readonly name: string;
  /** Tells this image apart from all others: its root hash, or the digest of its initramfs. */
  readonly digest: string;
  readonly entries: readonly ListedEntry[];
  /** Where the entries' bytes lie. */
  readonly tree: string;
  readonly components: readonly Component[];
  /** Package URLs of what was bundled or compiled into a file of ours. */
  readonly contents: Readonly<Record<string, readonly string[]>>;
}

/** The same image gives the same document: it is dated like everything else in it. */
const CREATED = "1970-01-01T00:00:00Z";
const ROOT_ID = "SPDXRef-image";

/** A bill of materials as SPDX 2.3 JSON: the image, its files with digests, and the packages that they come from. */
export function spdxDocument(options: SbomOptions): object {
  const { name, digest, entries, tree, components } = options;
  const files = entries.filter(({ type }) => type === "file").map((entry, i) => spdxFile(entry, i, tree));
  const contents = Object.entries(options.contents);
  const all = new Map(components.map((component) => [component.purl, component]));
  for (const purl of contents.flatMap(([, purls]) => purls)) if (!all.has(purl)) all.set(purl, { purl });
  const ids = new Map([...all.keys()].sort().map((purl, i) => [purl, `SPDXRef-package-${i}`]));
  const idOf = (purl: string): string => {
    const id = ids.get(purl);
    if (id === undefined) throw new Error(`${purl}: expected it among the image's packages`);
    return id;
  };
  const relation = (from: string, relationshipType: string, to: string): object => ({
    spdxElementId: from,
    relationshipType,
    relatedSpdxElement: to,
  });
  return {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name,
    documentNamespace: `https://spdx.org/spdxdocs/${name}-${digest}`,
    creationInfo: { created: CREATED, creators: [`Tool: ${OWN_ORIGIN.replace(/^.*\/(.*)@/u, "$1-")}`] },
    packages: [
      {
        SPDXID: ROOT_ID,
        name,
        versionInfo: digest,
        downloadLocation: "NOASSERTION",
        filesAnalyzed: true,
        packageVerificationCode: { packageVerificationCodeValue: verificationCode(files) },
        ...UNKNOWN_LICENCE,
      },
      ...[...ids].map(([purl, id]) => spdxPackage(all.get(purl) ?? { purl }, id)),
    ],
    files: files.map(({ file }) => file),
    relationships: [
      relation("SPDXRef-DOCUMENT", "DESCRIBES", ROOT_ID),
      ...files.map(({ file }) => relation(ROOT_ID, "CONTAINS", file.SPDXID)),
      ...[...ids.values()].map((id) => relation(ROOT_ID, "DEPENDS_ON", id)),
      ...files.map(({ file, origin }) => relation(file.SPDXID, "GENERATED_FROM", idOf(origin))),
      ...contents.flatMap(([path, purls]) => {
        const file = files.find((one) => one.path === path)?.file;
        return file === undefined ? [] : purls.map((purl) => relation(file.SPDXID, "GENERATED_FROM", idOf(purl)));
      }),
    ],
  };
}

const UNKNOWN_LICENCE = {
  licenseConcluded: "NOASSERTION",
  licenseDeclared: "NOASSERTION",
  copyrightText: "NOASSERTION",
} as const;

interface SpdxFile {
  readonly path: string;
  readonly origin: string;
  readonly sha1: string;
  readonly file: { readonly SPDXID: string };
}

function spdxFile({ path, origin, sha256 }: ListedEntry, i: number, tree: string): SpdxFile {
  // SPDX 2.3 asks for this digest of every file.
  const sha1 = createHash("sha1")
    .update(readFileSync(join(tree, path)))
    .digest("hex");
  const checksums = [
    { algorithm: "SHA1", checksumValue: sha1 },
    { algorithm: "SHA256", checksumValue: sha256 },
  ];
  const licence = {
    licenseConcluded: "NOASSERTION",
    licenseInfoInFiles: ["NOASSERTION"],
    copyrightText: "NOASSERTION",
  };
  return {
    path,
    origin: origin ?? OWN_ORIGIN,
    sha1,
    file: { SPDXID: `SPDXRef-file-${i}`, fileName: `.${path}`, checksums, ...licence } as SpdxFile["file"],
  };
}

/** SPDX 2.3, section 7.9. */
function verificationCode(files: readonly SpdxFile[]): string {
  const digests = files.map(({ sha1 }) => sha1).sort();
  return createHash("sha1").update(digests.join("")).digest("hex");
}

function spdxPackage({ purl, checksum }: Component, SPDXID: string): object {
  const [, name = purl, version] = /^pkg:[^/]+\/(?:debian\/)?([^@?]+)(?:@([^?]+))?/u.exec(purl) ?? [];
  return {
    SPDXID,
    name: decodeURIComponent(name),
    ...(version === undefined ? {} : { versionInfo: decodeURIComponent(version) }),
    downloadLocation: "NOASSERTION",
    filesAnalyzed: false,
    ...(checksum === undefined
      ? {}
      : { checksums: [{ algorithm: checksum.algorithm, checksumValue: checksum.value }] }),
    externalRefs: [{ referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: purl }],
    ...UNKNOWN_LICENCE,
  };
}

/** npm packages with the digest of the lock file. */
export function npmComponents(purls: readonly string[]): readonly Component[] {
  return purls.map((purl) => {
    const { integrity } = lockedNpmPackage(decodeURIComponent(/^pkg:npm\/(.*)@/u.exec(purl)?.[1] ?? ""));
    const value = Buffer.from(integrity.replace(/^sha512-/u, ""), "base64").toString("hex");
    return { purl, checksum: { algorithm: "SHA512", value } };
  });
}

/** The Rust crates in the policy engine's module, by its lock file. */
export function cargoComponents(): readonly Component[] {
  const path = join(ROOT, "packages/regorus-wasm/rust/Cargo.lock");
  const { package: crates } = parse(readFileSync(path, "utf8")) as unknown as {
    package: readonly { name: string; version: string; source?: string; checksum?: string }[];
  };
  return crates
    .filter(({ source }) => source !== undefined)
    .map(({ name, version, checksum }) => ({
      purl: `pkg:cargo/${name}@${version.replaceAll("+", "%2B")}`,
      ...(checksum === undefined ? {} : { checksum: { algorithm: "SHA256", value: checksum } as const }),
    }));
}
