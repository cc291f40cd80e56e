/** Netlink families of kernel services. */
export const NetlinkProtocol = { ROUTE: 0, KOBJECT_UEVENT: 15 } as const;

/** Flags of a netlink message; what REPLACE and the like mean depends on whether it asks or changes. */
export const NetlinkFlag = {
  REQUEST: 0x1,
  MULTI: 0x2,
  ACK: 0x4,
  DUMP_INTR: 0x10,
  DUMP: 0x300,
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  /** On an error message: the request was left out of it. */
  CAPPED: 0x100,
  /** On an error message: attributes follow. */
  ACK_TLVS: 0x200,
} as const;

/** Message types below 16 are netlink's own; the others are rtnetlink's. */
export const NetlinkType = {
  NLMSG_NOOP: 1,
  NLMSG_ERROR: 2,
  NLMSG_DONE: 3,
  RTM_NEWLINK: 16,
  RTM_GETLINK: 18,
  RTM_SETLINK: 19,
  RTM_NEWADDR: 20,
  RTM_DELADDR: 21,
  RTM_GETADDR: 22,
  RTM_NEWROUTE: 24,
  RTM_GETROUTE: 26,
  RTM_NEWNEIGH: 28,
} as const;

/** Options of a netlink socket, level SOL_NETLINK. */
export const NetlinkOption = { SOL_NETLINK: 270, NETLINK_CAP_ACK: 10, NETLINK_EXT_ACK: 11 } as const;

/** Attributes of an error message. */
export const AckAttribute = { NLMSGERR_ATTR_MSG: 1, NLMSGERR_ATTR_OFFS: 2 } as const;

/** Address families of rtnetlink. */
export const Family = { UNSPEC: 0, INET: 2, INET6: 10 } as const;

/** Flags of an interface. */
export const LinkFlag = { UP: 0x1, LOOPBACK: 0x8, NOARP: 0x80 } as const;

export const LinkAttribute = { ADDRESS: 1, IFNAME: 3, MTU: 4 } as const;

export const AddressAttribute = { ADDRESS: 1, LOCAL: 2, BROADCAST: 4, MULTICAST: 7 } as const;

export const RouteAttribute = { DST: 1, SRC: 2, OIF: 4, GATEWAY: 5, PREFSRC: 7, METRICS: 8, TABLE: 15 } as const;

/** An attribute inside of `RouteAttribute.METRICS`. */
export const RouteMetric = { MTU: 2 } as const;

/** Fields of a route message. */
export const Route = { RT_TABLE_UNSPEC: 0, RT_TABLE_MAIN: 254, RTPROT_BOOT: 3, RTN_UNICAST: 1 } as const;

export const NeighbourAttribute = { DST: 1, LLADDR: 2 } as const;

/** A neighbour's state that is neither probed nor forgotten. */
export const NUD_PERMANENT = 0x80;
