/** A guest component: what is run, and the socket by which it shows that it is ready. */
export interface Component {
  readonly id: string;
  readonly path: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Unix socket that it opens when ready; without one nobody waits for it. */
  readonly socket?: string;
  /** Time for the socket to open, in milliseconds. */
  readonly timeoutMs: number;
}

/** Where the attestation agent and the Confidential Data Hub listen (section 6). */
export const AA_SOCKET = "/run/confidential-containers/attestation-agent/attestation-agent.sock";
export const CDH_SOCKET = "/run/confidential-containers/cdh.sock";

/**
 * What components find in their environment; nothing of the agent's own is passed on (design decision 13). The C library
 * is told to keep one heap and to give back what it can: 1 MB of each.
 */
export const COMPONENT_ENV: Readonly<Record<string, string>> = {
  PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
  MALLOC_ARENA_MAX: "1",
  MALLOC_TRIM_THRESHOLD_: "65536",
  MALLOC_TOP_PAD_: "4096",
};
