import { readFile } from "node:fs/promises";
import { linuxSyscalls } from "@nacre/kata-sys-util";
import { describeError, ImagePuller, NodeHttp, rehearsePull, systemClock, WorkerPool } from "@nacre/image-puller";
import { CredentialStore, DEFAULT_REGISTRIES, parseRegistryConfig, type RegistryConfig } from "oci-client";
import { filePath, type ImageSettings } from "./config.ts";
import { parseToml } from "./load-config.ts";
import type { ComponentLog, Tracer } from "@nacre/protocols";

/** Starts what a pull needs and returns how to open the puller with the first one. */
export function preparePuller(
  settings: ImageSettings,
  workerUrl: URL,
  log: ComponentLog,
  tracer: Tracer,
): () => Promise<ImagePuller> {
  const sys = linuxSyscalls();
  const unpacking = new WorkerPool({ workerUrl });
  tracer
    .span("rehearsal", "", () => rehearsePull(unpacking))
    .catch((error: unknown) => {
      log("warn", `the first pull will be slower: ${describeError(error)}`);
    });
  // The image directory must not be touched earlier: the agent may yet mount trusted storage on it.
  return async () =>
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
