import type { grpc, Init } from "@nacre/protocols";

import type { PodContainer } from "../container.ts";
import type { Pod } from "../pod.ts";
import type { PolicyMount } from "../policy-data.ts";
import {
  CONTAINER_MOUNTS,
  MASKED_PATHS,
  READONLY_PATHS,
  SANDBOX_MOUNTS,
  SANDBOX_RESOLV_OPTIONS,
  SHM_SIZE,
  SHM_STORAGE,
} from "../standard.ts";
import { copied, mountSource, volumeStorage } from "../volumes.ts";
import { copyMount } from "./copies.ts";
import { type PodHost, texts } from "./pod-host.ts";

/** A container of the pod, made: the files that are copied in first, and the request itself. */
export interface ContainerRequests {
  readonly id: string;
  readonly copies: ReadonlyArray<Init<grpc.CopyFileRequest>>;
  readonly create: Init<grpc.CreateContainerRequest>;
}

/** CreateSandbox as a Kata runtime makes it of the pod. */
export function sandboxRequest({ facts, sandboxId }: PodHost): Init<grpc.CreateSandboxRequest> {
  return {
    sandbox_id: sandboxId,
    hostname: facts.hostname,
    dns: ["nameserver 127.0.0.1", ""],
    storages: [{ ...SHM_STORAGE, options: [...SHM_STORAGE.options, SHM_SIZE] }],
  };
}

/** The container that holds the sandbox together. */
export function pauseRequests(pod: Pod, host: PodHost): ContainerRequests {
  const id = host.sandboxId;
  const resolv = copied("/etc/resolv.conf", "ro");
  const { source, requests } = copyMount(resolv, id, host);
  const annotations = {
    "io.katacontainers.pkg.oci.container_type": "pod_sandbox",
    "io.kubernetes.cri.container-type": "sandbox",
    ...podAnnotations(host),
  };
  return {
    id,
    copies: requests,
    create: {
      container_id: id,
      exec_id: id,
      storages: [imagePull(id, "pause", annotations)],
      OCI: {
        Version: "1.0.2-dev",
        Annotations: annotations,
        Process: { Args: ["/pause"], Cwd: "/", User: {}, NoNewPrivileges: true },
        Hostname: host.facts.hostname,
        Root: { Path: rootPath(id), Readonly: true },
        Mounts: [
          ...SANDBOX_MOUNTS.map(grpcMount),
          { destination: "/etc/resolv.conf", type: "bind", source, options: SANDBOX_RESOLV_OPTIONS[0] ?? [] },
        ],
        Linux: { ...commonLinux(id, host), Sysctl: pod.sysctls, Resources: { CPU: { Shares: 2n } } },
      },
    },
  };
}

/** One of the pod's containers. */
export function containerRequests(container: PodContainer, pod: Pod, host: PodHost): ContainerRequests {
  const id = host.random(64);
  const mounts = byDepth(container.mounts).map((mount) => ({ mount, ...copyMount(mount, id, host) }));
  const places = new Set(container.mounts.map(({ destination }) => destination));
  const [image = ""] = container.image.names;
  const annotations = {
    "io.katacontainers.pkg.oci.container_type": "pod_container",
    "io.kubernetes.cri.container-name": container.name,
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.image-name": image,
    "io.kubernetes.container.terminationMessagePath": container.terminationLog,
    ...podAnnotations(host),
  };
  return {
    id,
    copies: mounts.flatMap(({ requests }) => requests),
    create: {
      container_id: id,
      exec_id: id,
      storages: [imagePull(id, image, annotations), ...storages(container, pod, host)],
      sandbox_pidns: pod.sharedPid,
      OCI: {
        Version: "1.0.2-dev",
        Annotations: annotations,
        Process: processOf(container, pod, host),
        Root: { Path: rootPath(id), Readonly: container.readOnlyRoot },
        Mounts: [
          ...CONTAINER_MOUNTS.filter(({ destination }) => !places.has(destination)).map(grpcMount),
          ...mounts.map(({ mount, source }) => ({
            destination: mount.destination,
            type: mount.type,
            source,
            options: mount.options,
          })),
        ],
        Linux: { ...commonLinux(id, host), Resources: { CPU: { Shares: 1024n } } },
      },
    },
  };
}

/** ExecProcess of a probe, a hook or a user: the container's process with another command. */
export function execRequest(
  container: PodContainer,
  pod: Pod,
  host: PodHost,
  { id, args }: { readonly id: string; readonly args: readonly string[] },
): Init<grpc.ExecProcessRequest> {
  const { Capabilities: _, ...process } = processOf(container, pod, host);
  return { container_id: id, exec_id: host.random(32), process: { ...process, Args: args, Terminal: false } };
}

function processOf(container: PodContainer, pod: Pod, host: PodHost): Init<grpc.Process> & { Capabilities: object } {
  const { uid, gid, groups } = container.account;
  const set = container.capabilities;
  const all = [gid, ...groups, ...pod.supplementalGroups, ...(pod.fsGroup === undefined ? [] : [pod.fsGroup])];
  return {
    Args: texts(container.args, host),
    Env: texts(container.env, host),
    Cwd: container.cwd,
    Terminal: container.tty,
    User: { UID: uid, GID: gid, AdditionalGids: [...new Set(all)] },
    Capabilities: { Bounding: set, Effective: set, Permitted: set },
    NoNewPrivileges: container.noNewPrivileges,
  };
}

function storages(container: PodContainer, pod: Pod, host: PodHost): ReadonlyArray<Init<grpc.Storage>> {
  const byPlace = new Map<string, Init<grpc.Storage>>();
  for (const mount of container.mounts) {
    const storage = volumeStorage(mount, pod.fsGroup);
    const mount_point = mountSource(mount, { sandbox: host.sandboxId, container: "", random: "" });
    if (storage !== undefined) byPlace.set(mount_point, { ...storage, mount_point });
  }
  return [...byPlace.values()];
}

function imagePull(id: string, source: string, metadata: Readonly<Record<string, string>>): Init<grpc.Storage> {
  return {
    driver: "image_guest_pull",
    driver_options: [`image_guest_pull=${JSON.stringify({ metadata })}`],
    source,
    fstype: "overlay",
    mount_point: rootPath(id),
  };
}

function podAnnotations({ facts, sandboxId }: PodHost): Readonly<Record<string, string>> {
  return {
    "io.katacontainers.pkg.oci.bundle_path": `/run/containerd/io.containerd.runtime.v2.task/k8s.io/${sandboxId}`,
    "io.kubernetes.cri.sandbox-id": sandboxId,
    "io.kubernetes.cri.sandbox-name": facts.podName,
    "io.kubernetes.cri.sandbox-namespace": facts.namespace,
    "io.kubernetes.cri.sandbox-uid": facts.uid,
  };
}

function commonLinux(id: string, { facts }: PodHost): Init<grpc.Linux> {
  return {
    CgroupsPath: `/kubepods/pod${facts.uid}/${id}`,
    Namespaces: [{ Type: "ipc" }, { Type: "uts" }, { Type: "mount" }],
    MaskedPaths: MASKED_PATHS,
    ReadonlyPaths: READONLY_PATHS,
  };
}

/** A mount whose source is the same for all pods. */
export function grpcMount({ destination, type, options, source }: PolicyMount): Init<grpc.Mount> {
  return { destination, type, options, source: typeof source === "string" ? source : "" };
}

/** containerd mounts what is higher up first. */
function byDepth<T extends { readonly destination: string }>(mounts: readonly T[]): readonly T[] {
  const depth = ({ destination }: T): number => destination.split("/").length;
  return mounts.toSorted((a, b) => depth(a) - depth(b));
}

function rootPath(id: string): string {
  return `/run/kata-containers/${id}/rootfs`;
}
