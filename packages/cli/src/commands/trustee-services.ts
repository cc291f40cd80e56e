import {
  emptyServiceConfig,
  fetchBytes,
  openServiceConfig,
  readServiceConfig,
  serveAttestation,
  serveReferenceValues,
  type ServiceOptions,
} from "@nacre/trustee";

import { type Command, command, type Flag } from "../command.ts";
import { type Context, note, print } from "../context.ts";
import { NacreError } from "../error.ts";
import { isLoopback, parseListenAddress } from "../listen-address.ts";

const CONFIG_FILE: Flag & { readonly type: "string" } = {
  type: "string",
  short: "c",
  value: "FILE",
  help: "upstream's configuration, in JSON or TOML; default: memory for storage, keys that end with the process",
};
const INSECURE_ADMIN: Flag & { readonly type: "boolean" } = {
  type: "boolean",
  help: "listen beyond this machine, where whoever reaches the port may set policies and reference values",
};

export const trusteeAs: Command = command({
  name: "trustee as",
  usage: "",
  summary: "Serve an attestation service by itself, for brokers elsewhere",
  details: `
gRPC (attestation.AttestationService, reference.ReferenceValueProviderService, health) and REST (/attestation, /policy,
/challenge, /.well-known/jwks.json) on one port, until SIGTERM or Ctrl-C.`,
  arity: { min: 0, max: 0 },
  flags: {
    "config-file": CONFIG_FILE,
    socket: { type: "string", value: "HOST:PORT", help: "where to listen; default: 127.0.0.1:50004" },
    "insecure-admin": INSECURE_ADMIN,
  },
  async run({ flags }, context) {
    const { attestation, ...options } = await opened(
      flags["config-file"],
      flags.socket ?? "127.0.0.1:50004",
      "socket",
      {
        beyond: flags["insecure-admin"],
        context,
      },
    );
    return await serve(await serveAttestation({ ...options, attestation }), context);
  },
});

export const trusteeRvps: Command = command({
  name: "trustee rvps",
  usage: "",
  summary: "Serve reference values by themselves, for attestation services elsewhere",
  details: `
gRPC (reference.ReferenceValueProviderService, health), until SIGTERM or Ctrl-C.`,
  arity: { min: 0, max: 0 },
  flags: {
    config: CONFIG_FILE,
    address: { type: "string", short: "a", value: "HOST:PORT", help: "where to listen; default: 127.0.0.1:50003" },
    "insecure-admin": INSECURE_ADMIN,
  },
  async run({ flags }, context) {
    const { attestation: _, ...options } = await opened(flags.config, flags.address ?? "127.0.0.1:50003", "address", {
      beyond: flags["insecure-admin"],
      context,
    });
    return await serve(await serveReferenceValues(options), context);
  },
});

async function opened(
  file: string | undefined,
  listen: string,
  flag: string,
  { beyond, context }: { readonly beyond: boolean; readonly context: Context },
): Promise<ServiceOptions & Awaited<ReturnType<typeof openServiceConfig>>> {
  const address = parseListenAddress(listen, flag);
  if (!beyond && !isLoopback(address.host)) {
    throw new NacreError(
      "usage",
      `--${flag}: whoever reaches ${listen} may set policies and reference values; that needs --insecure-admin`,
    );
  }
  const log = (line: string): void => note(context, line);
  const config = file === undefined ? emptyServiceConfig() : await readServiceConfig(file);
  return { ...address, ...(await openServiceConfig(config, { log, fetchBytes, env: context.env })), log };
}

async function serve(
  server: { readonly host: string; readonly port: number; close(): Promise<void> },
  context: Context,
): Promise<number> {
  const { host, port } = server;
  const url = `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
  print(context, { urls: [url] }, `listening on ${url}`);
  const { signal } = context.interrupts;
  if (!signal.aborted)
    await new Promise<void>((done) => signal.addEventListener("abort", () => done(), { once: true }));
  await server.close();
  return 0;
}
