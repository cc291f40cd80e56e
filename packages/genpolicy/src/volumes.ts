import { posix } from "node:path";

import { GenPolicyError } from "./error.ts";
import type { Fields } from "./fields.ts";
import { escapePattern, type PolicyText } from "./template.ts";
import type { Values } from "./values.ts";

const SHARED = "/run/kata-containers/shared/containers";
const RANDOM_DIGITS = "[0-9a-f]{16}";
const EPHEMERAL = "/run/kata-containers/sandbox/ephemeral";

/** What a container has at one place. */
export interface VolumeMount {
  readonly destination: string;
  /** As Kata names it: a folder that is copied in, one of the guest, or memory of the guest. */
  readonly kind: "copied" | "local" | "memory";
  readonly type: string;
  readonly options: readonly string[];
  /** The last part of a copied mount's source; the volume's name of the others. */
  readonly name: string;
  /** What a host copies in; undefined where that is its own business. */
  readonly contents?: Contents | undefined;
}

/** Files of a volume by their paths, or one file. */
export type Contents = ReadonlyMap<string, Buffer> | Buffer;

/** A storage of the guest that stands behind a mount. */
export interface VolumeStorage {
  readonly driver: "local" | "ephemeral";
  readonly fstype: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** A pod's volume by name. */
export interface Volume {
  readonly kind: VolumeMount["kind"];
  /** Kubernetes mounts it read-only whatever the mount says. */
  readonly readOnly: boolean;
  readonly contents?: ReadonlyMap<string, Buffer> | undefined;
}

/** Kinds of which the kubelet writes the files. */
const WRITTEN = ["configMap", "secret", "downwardAPI", "projected"];
/** Kinds that are a folder of the host's, which is all that the guest sees of them. */
const FOLDERS = ["persistentVolumeClaim", "ephemeral", "csi", "nfs", "hostPath"];
/** Folders of a host that are no data. */
const NO_DATA = ["/dev", "/proc", "/sys", "/run/kata-containers"];

/** The pod's volumes; the values are those of its namespace. @throws GenPolicyError */
export function readVolumes(
  spec: Fields,
  claims: readonly string[],
  values: readonly Values[],
): ReadonlyMap<string, Volume> {
  const volumes = new Map<string, Volume>();
  for (const claim of claims) volumes.set(claim, { kind: "copied", readOnly: false });
  for (const volume of spec.children("volumes")) volumes.set(volume.needed("name"), readVolume(volume, values));
  return volumes;
}

function readVolume(volume: Fields, values: readonly Values[]): Volume {
  const empty = volume.child("emptyDir");
  const written = WRITTEN.filter((kind) => volume.has(kind));
  const folders = FOLDERS.filter((kind) => volume.has(kind));
  volume.done();
  if (empty !== undefined) {
    empty.ignore("sizeLimit");
    empty.only("medium", "a guest has no huge pages of the host's", "", "Memory");
    const kind = empty.text("medium") === "Memory" ? "memory" : "local";
    empty.done();
    return { kind, readOnly: false };
  }
  const path = volume.child("hostPath")?.needed("path");
  if (path !== undefined && NO_DATA.some((folder) => path === folder || path.startsWith(`${folder}/`))) {
    throw new GenPolicyError("unsupported", `${volume.at("hostPath")}: ${path} is no data that a guest can be given`);
  }
  if (written.length + folders.length !== 1) throw new GenPolicyError("manifest", `${volume.path}: no volume`);
  if (written.length === 0) return { kind: "copied", readOnly: false };
  const sources = volume.child("projected")?.children("sources") ?? [volume];
  const contents = new Map(sources.flatMap((source) => [...writtenFiles(source, values)]));
  return { kind: "copied", readOnly: true, contents };
}

/** What the files have of a ConfigMap or Secret; of others the policy says nothing either. */
function writtenFiles(source: Fields, values: readonly Values[]): ReadonlyMap<string, Buffer> {
  const [kind, from] = source.has("configMap")
    ? (["ConfigMap", source.child("configMap")] as const)
    : (["Secret", source.child("secret")] as const);
  const name = from?.text("name") ?? from?.text("secretName");
  const data = values.find((one) => one.kind === kind && one.name === name)?.data ?? new Map<string, Buffer>();
  const items = from?.children("items") ?? [];
  if (items.length === 0) return data;
  return new Map(
    items.flatMap((item) => {
      const value = data.get(item.needed("key"));
      return value === undefined ? [] : [[item.needed("path"), value] as const];
    }),
  );
}

/** The mounts that a container's manifest names. @throws GenPolicyError */
export function volumeMounts(container: Fields, volumes: ReadonlyMap<string, Volume>): readonly VolumeMount[] {
  if (container.children("volumeDevices").length > 0) {
    throw new GenPolicyError("unsupported", `${container.at("volumeDevices")}: block devices of the host`);
  }
  return container.children("volumeMounts").map((mount) => {
    const name = mount.needed("name");
    const volume = volumes.get(name);
    if (volume === undefined) throw new GenPolicyError("manifest", `${mount.path}: no volume ${name}`);
    const destination = cleanPath(mount.needed("mountPath"), mount.at("mountPath"));
    const part = mount.text("subPath") ?? mount.text("subPathExpr");
    mount.only("recursiveReadOnly", "no guest of Kata's has it", "Disabled", "IfPossible");
    mount.only("mountPropagation", "mounts of a container stay inside", "None", "HostToContainer");
    const propagation = mount.text("mountPropagation") === "HostToContainer" ? "rslave" : "rprivate";
    const access = mount.flag("readOnly") === true || volume.readOnly ? "ro" : "rw";
    mount.done();
    // A part of a volume is a folder like any other to Kata.
    const kind = part === undefined ? volume.kind : "copied";
    return {
      destination,
      kind,
      type: kind === "local" ? "local" : "bind",
      options: ["rbind", propagation, access],
      name: kind === "copied" ? posix.basename(destination) : name,
      contents: part === undefined ? volume.contents : volume.contents?.get(part),
    };
  });
}

export function cleanPath(path: string, where: string): string {
  const clean = posix.normalize(path).replace(/(?<=.)\/+$/u, "");
  if (!clean.startsWith("/") || clean === "/" || path.includes(":")) {
    throw new GenPolicyError("manifest", `${where}: expected an absolute path below /, got ${JSON.stringify(path)}`);
  }
  return clean;
}

/** A mount of files that come by CopyFile. */
export function copied(destination: string, access: "ro" | "rw"): VolumeMount {
  return {
    destination,
    kind: "copied",
    type: "bind",
    options: ["rbind", "rprivate", access],
    name: posix.basename(destination),
  };
}

/** Ids in a mount's source. */
export interface SourceIds {
  readonly sandbox: string;
  readonly container: string;
  /** Sixteen digits that a runtime makes up for each file. */
  readonly random: string;
}

/** Where a mount comes from: what is in it, of one container or of the pod. */
export function mountSource({ kind, name }: VolumeMount, { sandbox, container, random }: SourceIds): string {
  if (kind === "copied") return `${SHARED}/${container}-${random}-${name}`;
  return kind === "memory" ? `${EPHEMERAL}/${name}` : `${SHARED}/${sandbox}/rootfs/local/${name}`;
}

/** The same for the policy, which puts in the ids itself. */
export function mountSourcePattern({ kind, name }: VolumeMount): PolicyText {
  const [shared, last] = [escapePattern(SHARED), escapePattern(name)];
  if (kind === "copied") return { pattern: `${shared}/$(container)\\-${RANDOM_DIGITS}\\-${last}` };
  return kind === "memory" ? `${EPHEMERAL}/${name}` : { pattern: `${shared}/$(sandbox)/rootfs/local/${last}` };
}

/** Paths at which CopyFile may write for mounts of these names, before any container has its id. */
export function copiedPaths(names: Iterable<string>): PolicyText {
  const any = [...names].map(escapePattern).join("|");
  return { pattern: `${escapePattern(SHARED)}/[0-9a-f]{64}\\-${RANDOM_DIGITS}\\-(?:${any})(?:/[^/\\x00]+)*` };
}

/** What makes the guest's own folder behind a mount; undefined for copied files. */
export function volumeStorage({ kind }: VolumeMount, fsGroup: number | undefined): VolumeStorage | undefined {
  if (kind === "copied") return undefined;
  const group = fsGroup === undefined || fsGroup === 0 ? [] : [`fsgid=${fsGroup}`];
  if (kind === "memory") return { driver: "ephemeral", fstype: "tmpfs", source: "tmpfs", options: group };
  return { driver: "local", fstype: "local", source: "local", options: ["mode=0777", ...group] };
}
