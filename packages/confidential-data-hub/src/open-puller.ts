import { readFile } from "node:fs/promises";
import { linuxSyscalls } from "@nacre/kata-sys-util";
import { describeError, ImagePuller, NodeHttp, rehearsePull, systemClock, WorkerPool } from "@nacre/image-puller";
import { CredentialStore, DEFAULT_REGISTRIES, parseRegistryConfig, type RegistryConfig } from "oci-client";
import { filePath, type ImageSettings } from "./config.ts";
import { parseToml } from "./load-config.ts";
import type { ComponentLog, Tracer } from "@nacre/protocols";

/** What is there before the first pull. */
export interface PreparedPuller {
  open(): Promise<ImagePuller>;
  /** Ends the unpack threads; pulls that need them fail. */
  close(): Promise<void>;
}

/** Starts what a pull needs; the first one opens the puller. */
export function preparePuller(
  settings: ImageSettings,
  workerUrl: URL,
  log: ComponentLog,
  tracer: Tracer,
): PreparedPuller {
  const sys = linuxSyscalls();
  const unpacking = new WorkerPool({ workerUrl });
  tracer
    .span("rehearsal", "", () => rehearsePull())
    .catch((error: unknown) => {
      log("warn", `the first pull will be slower: ${describeError(error)}`);
    });
  // The image directory must not be touched earlier: the agent may yet mount trusted storage on it.
  const open = async (): Promise<ImagePuller> =>
    await ImagePuller.open({
      workDir: settings.workDir,
      http: new NodeHttp({ extraRoots: settings.extraRoots, proxy: settings.proxy }),
      clock: systemClock,
      sys,
      unpacking,
      registries: await readRegistries(settings),
      credentials: await readCredentials(settings),
      concurrentDownloads: settings.concurrentDownloads,
      tracer,
    });
  return { open, close: () => unpacking.close() };
}

async function readRegistries({ registries, registriesUri }: ImageSettings): Promise<RegistryConfig> {
  if (registries !== undefined || registriesUri === undefined) return registries ?? DEFAULT_REGISTRIES;
  const path = filePath("image.registry_configuration_uri", registriesUri);
  return parseRegistryConfig(await parseToml(path, await readFile(path, "utf8")));
}

async function readCredentials({ credentialsUri }: ImageSettings): Promise<CredentialStore | undefined> {
  if (credentialsUri === undefined) return undefined;
  const path = filePath("image.authenticated_registry_credentials_uri", credentialsUri);
  return CredentialStore.parse(await readFile(path));
}
