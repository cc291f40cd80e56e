import type { GuestInitdata } from "../initdata/guest-initdata.ts";
import { type AgentConfig, COMPONENT_LEVELS, type ComponentLevel } from "../config.ts";
import { AA_SOCKET, CDH_SOCKET, type Component, COMPONENT_ENV } from "./component.ts";
import { type ComponentsManifest, resolveProcess } from "./components-manifest.ts";

/** The component that binds initdata to the platform. */
export const ATTESTATION_AGENT = "attestation-agent";

/** What is started: the components up to the configured level, or none when a binary is missing. */
export interface LaunchPlan {
  readonly start: readonly Component[];
  /** Paths of needed binaries that are not there. One missing means that nothing is started (section 6). */
  readonly missing: readonly string[];
}

export interface LaunchPlanOptions {
  readonly config: AgentConfig;
  readonly exists: (path: string) => boolean;
  readonly initdata?: GuestInitdata | undefined;
  /** Of the extension that holds the components; without one they lie in the image. */
  readonly manifest?: ComponentsManifest | undefined;
  /** Which build of a component an extension starts; the default one where it is empty. */
  readonly attesterVariant?: string;
}

/** Throws INTERNAL where the manifest asks for what nobody knows. */
export function launchPlan(options: LaunchPlanOptions): LaunchPlan {
  const { exists } = options;
  const needed = options.manifest === undefined ? ofImage(options) : ofExtension(options, options.manifest);
  const missing = needed.filter(({ path }) => !exists(path)).map(({ path }) => path);
  return { start: missing.length === 0 ? needed : [], missing };
}

/** Every component of the image at or below the configured level. */
function ofImage({ config, initdata }: LaunchPlanOptions): Component[] {
  const common = { env: COMPONENT_ENV, timeoutMs: config.launchProcessTimeoutMs };
  const file = (path: string | undefined): string[] => (path === undefined ? [] : ["-c", path]);
  const known: readonly (Component & { readonly id: ComponentLevel })[] = [
    {
      ...common,
      id: ATTESTATION_AGENT,
      path: "/usr/local/bin/attestation-agent",
      args: [
        "--attestation_sock",
        `unix://${AA_SOCKET}`,
        ...(initdata === undefined ? [] : ["--initdata-toml", initdata.document]),
        ...file(initdata?.attestationConfig),
      ],
      socket: AA_SOCKET,
    },
    {
      ...common,
      id: "confidential-data-hub",
      path: "/usr/local/bin/confidential-data-hub",
      args: file(initdata?.hubConfig),
      socket: CDH_SOCKET,
    },
    {
      ...common,
      id: "api-server-rest",
      path: "/usr/local/bin/api-server-rest",
      args: ["--features", config.guestComponentsRestApi],
    },
  ];
  return known.filter(({ id }) => COMPONENT_LEVELS.indexOf(id) <= levelOf(config));
}

function ofExtension(options: LaunchPlanOptions, manifest: ComponentsManifest): Component[] {
  const { config, initdata, attesterVariant = "" } = options;
  const variables = new Map([
    ["aa_attestation_uri", `unix://${AA_SOCKET}`],
    ["aa_attestation_socket", AA_SOCKET],
    ["aa_config_path", initdata?.attestationConfig ?? ""],
    ["cdh_config_path", initdata?.hubConfig ?? ""],
    ["cdh_socket", CDH_SOCKET],
    ["ocicrypt_config_path", manifest.paths.get("ocicrypt-config") ?? "/etc/ocicrypt_config.json"],
    ["rest_api_features", config.guestComponentsRestApi],
    ["launch_process_timeout", String(Math.floor(config.launchProcessTimeoutMs / 1000))],
    ["initdata_toml_path", initdata?.document ?? ""],
    ["extension_root", manifest.root],
    ["attester_variant", attesterVariant],
  ]);
  return manifest.processes
    .filter(({ level }) => level > 0 && level <= levelOf(config))
    .map((process) => resolveProcess(process, manifest.root, variables));
}

function levelOf(config: AgentConfig): number {
  return COMPONENT_LEVELS.indexOf(config.guestComponentsProcs);
}
