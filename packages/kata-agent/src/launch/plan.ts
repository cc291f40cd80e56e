import type { GuestInitdata } from "../initdata/guest-initdata.ts";
import { type AgentConfig, COMPONENT_LEVELS, type ComponentLevel } from "../config.ts";

/** A guest component: what is run, and the socket by which it shows that it is ready. */
export interface Component {
  readonly id: string;
  /** It is started when the configured level is this one or a later one. */
  readonly level: ComponentLevel;
  readonly path: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Unix socket that it opens when ready. */
  readonly socket: string;
  /** Time for the socket to open, in milliseconds. */
  readonly timeoutMs: number;
}

/** Where the Confidential Data Hub listens (section 6). */
export const CDH_SOCKET = "/run/confidential-containers/cdh.sock";

/** What components find in their environment; nothing of the agent's own is passed on (design decision 13). */
export const COMPONENT_ENV: Readonly<Record<string, string>> = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };

/** Every component that this agent knows, in the order in which they are started. */
export function knownComponents(config: AgentConfig, initdata: GuestInitdata | undefined): Component[] {
  return [
    {
      id: "confidential-data-hub",
      level: "confidential-data-hub",
      path: "/usr/local/bin/confidential-data-hub",
      args: initdata?.hubConfig === undefined ? [] : ["-c", initdata.hubConfig],
      env: COMPONENT_ENV,
      socket: CDH_SOCKET,
      timeoutMs: config.launchProcessTimeoutMs,
    },
  ];
}

/** The launch plan: the components at or below the configured level, or none when a binary is missing. */
export interface LaunchPlan {
  readonly start: readonly Component[];
  /** Paths of needed binaries that are not there. One missing means that nothing is started (section 6). */
  readonly missing: readonly string[];
}

export function launchPlan(
  config: AgentConfig,
  exists: (path: string) => boolean,
  initdata?: GuestInitdata,
): LaunchPlan {
  const level = COMPONENT_LEVELS.indexOf(config.guestComponentsProcs);
  const needed = knownComponents(config, initdata).filter(
    (component) => COMPONENT_LEVELS.indexOf(component.level) <= level,
  );
  const missing = needed.filter(({ path }) => !exists(path)).map(({ path }) => path);
  return { start: missing.length === 0 ? needed : [], missing };
}
