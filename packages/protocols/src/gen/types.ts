// Generated from protos/ by scripts/generate.ts (make generate). Do not edit.

/** `types.FSGroupChangePolicy`: 0 Always, 1 OnRootMismatch; a number that is none of these is kept. */
export type FSGroupChangePolicy = number;

/** `types.IPFamily`: 0 v4, 1 v6; a number that is none of these is kept. */
export type IPFamily = number;

/** `types.ARPNeighbor` */
export interface ARPNeighbor {
  toIPAddress: IPAddress | null;
  device: string;
  lladdr: string;
  state: number;
  flags: number;
}

/** `types.IPAddress` */
export interface IPAddress {
  family: IPFamily;
  address: string;
  mask: string;
}

/** `types.Interface` */
export interface Interface {
  device: string;
  name: string;
  IPAddresses: IPAddress[];
  mtu: bigint;
  hwAddr: string;
  devicePath: string;
  type: string;
  raw_flags: number;
}

/** `types.Route` */
export interface Route {
  dest: string;
  gateway: string;
  device: string;
  source: string;
  scope: number;
  family: IPFamily;
  flags: number;
  mtu: number;
}
