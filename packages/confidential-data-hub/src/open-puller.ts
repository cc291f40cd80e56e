import { readFile, stat } from "node:fs/promises";
import { linuxSyscalls } from "@nacre/kata-sys-util";
import {
  describeError,
  ImagePuller,
  NodeHttp,
  type OpenSignatureGate,
  rehearsePull,
  type SignatureGate,
  systemClock,
  WorkerPool,
} from "@nacre/image-puller";
import { CredentialStore, DEFAULT_REGISTRIES, parseRegistryConfig, type RegistryConfig } from "oci-client";
import { filePath, type ImageSettings, type SettingSource } from "./config.ts";
import { ConfigError } from "./error.ts";
import { parseToml } from "./load-config.ts";
import type { Resources } from "./resource/resources.ts";
import type { ComponentLog, Tracer } from "@nacre/protocols";

/** Files beside the bundle. */
export interface PullerPrograms {
  /** The unpack thread's entry. */
  readonly worker: URL;
  /** What judges signatures, which only configurations with a policy load. */
  readonly signatures: URL;
}

/** Keys and policies are short. */
const MAX_SETTING: number = 8 * 1024 * 1024;
/** For a policy or key of the broker, which may have to attest the guest first. */
const RESOURCE_TIMEOUT_MS = 60_000;

/** Starts what a pull needs and returns how to open the puller with the first one. */
export function preparePuller(
  settings: ImageSettings,
  programs: PullerPrograms,
  resources: Pick<Resources, "get">,
  log: ComponentLog,
  tracer: Tracer,
): () => Promise<ImagePuller> {
  const sys = linuxSyscalls();
  const unpacking = new WorkerPool({ workerUrl: programs.worker });
  tracer
    .span("rehearsal", "", () => rehearsePull(unpacking))
    .catch((error: unknown) => {
      log("warn", `the first pull will be slower: ${describeError(error)}`);
    });
  // The image directory must not be touched earlier: the agent may yet mount trusted storage on it.
  return async () => {
    const http = new NodeHttp({ extraRoots: settings.extraRoots, proxy: settings.proxy });
    return await ImagePuller.open({
      workDir: settings.workDir,
      http,
      clock: systemClock,
      sys,
      unpacking,
      registries: await readRegistries(settings),
      credentials: await readCredentials(settings),
      concurrentDownloads: settings.concurrentDownloads,
      signatures: await openSignatures(settings, programs.signatures, resources, http),
      tracer,
    });
  };
}

/** The gate of the configured policy; one that cannot be had or read fails the pull that asks, and the next one tries again. */
async function openSignatures(
  { securityPolicy, sigstoreConfig }: ImageSettings,
  program: URL,
  resources: Pick<Resources, "get">,
  http: NodeHttp,
): Promise<SignatureGate | undefined> {
  if (securityPolicy === undefined) return undefined;
  const read = (uri: string, signal?: AbortSignal): Promise<Uint8Array> => readSetting(uri, resources, signal);
  const bytesOf = async (source: SettingSource): Promise<Uint8Array> =>
    "text" in source ? Buffer.from(source.text) : await read(source.uri);
  const { openSignatureGate } = (await import(program.href)) as { openSignatureGate: OpenSignatureGate };
  return openSignatureGate(
    {
      policy: await bytesOf(securityPolicy),
      lookaside: sigstoreConfig === undefined ? undefined : await bytesOf(sigstoreConfig),
    },
    { http, clock: systemClock, read },
  );
}

/** A document by its `kbs://` name, `file://` URI or absolute path. Rejects with what the file system or the broker said. */
async function readSetting(uri: string, resources: Pick<Resources, "get">, signal?: AbortSignal): Promise<Uint8Array> {
  if (uri.startsWith("kbs://")) {
    const timeout = AbortSignal.timeout(RESOURCE_TIMEOUT_MS);
    return await resources.get(uri, signal === undefined ? timeout : AbortSignal.any([signal, timeout]));
  }
  const path = filePath("image security policy", uri);
  const { size } = await stat(path);
  if (size > MAX_SETTING) throw new ConfigError(`${path}: ${size} bytes, at most ${MAX_SETTING}`);
  return await readFile(path);
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
