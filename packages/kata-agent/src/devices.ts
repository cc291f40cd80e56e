import type { grpc } from "@nacre/protocols";

import { isSandbox } from "./container-type.ts";
import { internalError } from "./error.ts";

/** Annotations by which a container asks for CDI devices (section 3.6). */
const CDI_PREFIX = "cdi.k8s.io/";

/**
 * Devices of CreateContainer are checked as the real agent does (section 3.3), and then have no handler: none is
 * implemented. A container that was promised a device must not start without it. Throws INTERNAL.
 */
export function checkDevices(devices: readonly grpc.Device[]): void {
  for (const device of devices) {
    if (device.type === "") throw internalError(`invalid type for device ${describe(device)}`);
    if (device.id === "" && device.vm_path === "") {
      throw internalError(`invalid ID and VM path for device ${describe(device)}`);
    }
    if (device.container_path === "") throw internalError(`invalid container path for device ${describe(device)}`);
    throw internalError(`Failed to find the device handler ${device.type}`);
  }
}

/** CDI is not implemented either; the sandbox container's annotations are passed over, as upstream does. Throws INTERNAL. */
export function refuseCdi(oci: grpc.Spec): void {
  if (isSandbox(oci.Annotations) === true) return;
  for (const [key, value] of Object.entries(oci.Annotations)) {
    if (key.startsWith(CDI_PREFIX)) throw internalError(`invalid CDI device name ${value}`, new Error("no CDI here"));
  }
}

function describe(device: grpc.Device): string {
  return JSON.stringify({ id: device.id, type: device.type, vm_path: device.vm_path, path: device.container_path });
}
