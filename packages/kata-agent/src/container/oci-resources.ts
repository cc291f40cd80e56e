import { invalidArgument } from "../error.ts";
import type { LinuxTree, ResourcesTree } from "./tree.ts";

/** Everything is denied first; the runtime adds the devices that every container has. */
const DENY_ALL = { allow: false, access: "rwm" };

/**
 * `linux.resources` of the OCI runtime specification. Zero and empty mean unset, a negative CPU quota is dropped (spec
 * 3.2). Device rules always begin with "deny all", so that an absent or partial list never opens a device.
 */
export function convertResources(tree: ResourcesTree | null): object {
  const { Memory: memory, CPU: cpu, BlockIO: blkio } = tree ?? { Memory: null, CPU: null, BlockIO: null };
  return {
    devices: [DENY_ALL, ...deviceRules(tree)],
    ...section("memory", {
      limit: nonZero(memory?.Limit),
      reservation: nonZero(memory?.Reservation),
      swap: nonZero(memory?.Swap),
      swappiness: nonZero(memory?.Swappiness),
      disableOOMKiller: memory?.DisableOOMKiller === true ? true : undefined,
    }),
    ...section("cpu", {
      shares: nonZero(cpu?.Shares),
      quota: (cpu?.Quota ?? 0n) > 0n ? cpu?.Quota : undefined,
      period: nonZero(cpu?.Period),
      realtimeRuntime: nonZero(cpu?.RealtimeRuntime),
      realtimePeriod: nonZero(cpu?.RealtimePeriod),
      cpus: nonEmpty(cpu?.Cpus),
      mems: nonEmpty(cpu?.Mems),
    }),
    ...section("pids", { limit: nonZero(tree?.Pids?.Limit) }),
    ...section("blockIO", {
      weight: blkio?.Weight === 0 ? undefined : blkio?.Weight,
      leafWeight: blkio?.LeafWeight === 0 ? undefined : blkio?.LeafWeight,
      weightDevice: some(blkio?.WeightDevice ?? [], ({ Major, Minor, Weight, LeafWeight }) => ({
        major: Major,
        minor: Minor,
        weight: Weight,
        leafWeight: LeafWeight,
      })),
      throttleReadBpsDevice: some(blkio?.ThrottleReadBpsDevice ?? [], throttle),
      throttleWriteBpsDevice: some(blkio?.ThrottleWriteBpsDevice ?? [], throttle),
      throttleReadIOPSDevice: some(blkio?.ThrottleReadIOPSDevice ?? [], throttle),
      throttleWriteIOPSDevice: some(blkio?.ThrottleWriteIOPSDevice ?? [], throttle),
    }),
    ...((tree?.HugepageLimits.length ?? 0) > 0
      ? { hugepageLimits: tree?.HugepageLimits.map(({ Pagesize, Limit }) => ({ pageSize: Pagesize, limit: Limit })) }
      : {}),
  };
}

/** `linux.devices`: nodes that the runtime makes in the container. Zero mode means the runtime's default. */
export function convertDevices(devices: LinuxTree["Devices"]): object[] {
  return devices.map(({ Path, Type, Major, Minor, FileMode, UID, GID }) => {
    if (!["b", "c", "u", "p"].includes(Type)) throw invalidArgument(`device ${Path} has the unknown type ${Type}`);
    if (!Path.startsWith("/")) throw invalidArgument(`device path ${Path} is not absolute`);
    return {
      path: Path,
      type: Type,
      major: Major,
      minor: Minor,
      ...(FileMode === 0 ? {} : { fileMode: FileMode & 0o7777 }),
      uid: UID,
      gid: GID,
    };
  });
}

function deviceRules(tree: ResourcesTree | null): object[] {
  return (tree?.Devices ?? []).flatMap(({ Allow, Type, Major, Minor, Access }) => {
    if (!/^[rwm]*$/.test(Access)) throw invalidArgument(`device rule has the unknown access ${Access}`);
    if (!["", "a", "b", "c"].includes(Type)) throw invalidArgument(`device rule has the unknown type ${Type}`);
    // A rule without access says nothing.
    if (Access === "") return [];
    return [
      {
        allow: Allow,
        ...(Type === "" ? {} : { type: Type }),
        ...(Major === 0n ? {} : { major: Major }),
        ...(Minor === 0n ? {} : { minor: Minor }),
        access: Access,
      },
    ];
  });
}

function throttle({ Major, Minor, Rate }: { Major: bigint; Minor: bigint; Rate: bigint }): object {
  return { major: Major, minor: Minor, rate: Rate };
}

function nonZero(value: bigint | undefined): bigint | undefined {
  return value === 0n ? undefined : value;
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}

function some<T>(list: readonly T[], convert: (item: T) => object): object[] | undefined {
  return list.length === 0 ? undefined : list.map(convert);
}

/** A member with the values that are set, or none when nothing is. */
function section(name: string, values: Readonly<Record<string, unknown>> | undefined): object {
  const set = Object.entries(values ?? {}).filter(([, value]) => value !== undefined);
  return set.length === 0 ? {} : { [name]: Object.fromEntries(set) };
}
