import { CONTAINER_MOUNTS, grpcMount, MASKED_PATHS, READONLY_PATHS, SHM_SIZE, SHM_STORAGE } from "@nacre/genpolicy";
import type { grpc, Init } from "@nacre/protocols";

/** A container of the pod, or, with the image `pause`, the sandbox's own. */
export interface ContainerSpec {
  readonly id: string;
  readonly sandboxId: string;
  readonly name: string;
  readonly image: string;
  readonly process: Init<grpc.Process>;
}

/** The request as a Kata runtime makes it of containerd's specification, the guest pulling the image itself. */
export function containerRequest(spec: ContainerSpec): Init<grpc.CreateContainerRequest> {
  const { id, sandboxId } = spec;
  const bundle = `/run/kata-containers/${id}`;
  const annotations = annotationsOf(spec);
  return {
    container_id: id,
    exec_id: id,
    storages: [
      {
        driver: "image_guest_pull",
        driver_options: [`image_guest_pull=${JSON.stringify({ metadata: annotations })}`],
        source: spec.image,
        fstype: "overlay",
        mount_point: `${bundle}/rootfs`,
      },
    ],
    OCI: {
      Version: "1.0.2-dev",
      Process: spec.process,
      Root: { Path: `${bundle}/rootfs`, Readonly: isSandbox(spec) },
      Mounts: CONTAINER_MOUNTS.map(grpcMount),
      Annotations: annotations,
      Linux: {
        CgroupsPath: `/kubepods/pod-${sandboxId.slice(0, 12)}/${id}`,
        Namespaces: [{ Type: "ipc" }, { Type: "uts" }, { Type: "mount" }],
        MaskedPaths: MASKED_PATHS,
        ReadonlyPaths: READONLY_PATHS,
        Resources: { CPU: { Shares: isSandbox(spec) ? 2n : 1024n } },
      },
    },
  };
}

/** The sandbox's request with the pod's shared memory, of 64 MiB as containerd has it. */
export function sandboxRequest(sandboxId: string, hostname: string): Init<grpc.CreateSandboxRequest> {
  return {
    sandbox_id: sandboxId,
    hostname,
    storages: [{ ...SHM_STORAGE, options: [...SHM_STORAGE.options, SHM_SIZE] }],
  };
}

function isSandbox({ id, sandboxId }: ContainerSpec): boolean {
  return id === sandboxId;
}

function annotationsOf(spec: ContainerSpec): Record<string, string> {
  const common = {
    "io.kubernetes.cri.sandbox-id": spec.sandboxId,
    "io.kubernetes.cri.sandbox-name": "nacre",
    "io.kubernetes.cri.sandbox-namespace": "default",
  };
  if (isSandbox(spec)) {
    return {
      "io.katacontainers.pkg.oci.container_type": "pod_sandbox",
      "io.kubernetes.cri.container-type": "sandbox",
      ...common,
    };
  }
  return {
    "io.katacontainers.pkg.oci.container_type": "pod_container",
    "io.kubernetes.cri.container-name": spec.name,
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.image-name": spec.image,
    ...common,
  };
}
