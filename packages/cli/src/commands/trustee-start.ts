import { join, resolve } from "node:path";

import {
  adminToken,
  fetchBytes,
  FreshFile,
  freshTrustee,
  openConfig,
  readConfig,
  startTrustee,
  type TrusteeOptions,
} from "@nacre/trustee";

import { type Command, command, type Flag } from "../command.ts";
import { type Context, note, print } from "../context.ts";
import { NacreError } from "../error.ts";
import { parseListenAddress } from "../listen-address.ts";

const DEFAULT_LISTEN = "127.0.0.1:8080";
const DEFAULT_HOURS = 2;

const FOLDER: Flag & { readonly type: "string" } = {
  type: "string",
  value: "PATH",
  help: "keys, storage and audit log; made if it is not there. Default: nacre-trustee below the state folder",
};

export const trusteeStart: Command = command({
  name: "trustee start",
  usage: "",
  summary: "Serve a key broker: guests prove themselves to it and get what its policy allows",
  details: `
Serves the key broker's protocol (KBS, with attestation service and reference values in the same process) until SIGTERM
or Ctrl-C. Without a configuration file: TLS, with keys made on the first start and kept in the folder; guests and
clients are to trust its https.crt. The configuration file is Trustee's, in TOML or JSON (also: $KBS_CONFIG_FILE).`,
  arity: { min: 0, max: 0 },
  flags: {
    "config-file": {
      type: "string",
      short: "c",
      value: "FILE",
      help: "Trustee's configuration; nothing of the folder is used then",
    },
    folder: FOLDER,
    listen: { type: "string", value: "HOST:PORT", help: `where to listen; default: ${DEFAULT_LISTEN}` },
    "insecure-http": { type: "boolean", help: "serve without TLS" },
    "insecure-admin": { type: "boolean", help: "take a configuration file that lets anybody administer" },
  },
  async run({ flags }, context) {
    const configFile = flags["config-file"] ?? context.env["KBS_CONFIG_FILE"];
    const log = (line: string): void => note(context, line);
    const options =
      configFile === undefined
        ? await fresh(flags, context, log)
        : await openConfig(await readConfig(configFile), {
            allowInsecureAdmin: flags["insecure-admin"],
            log,
            fetchBytes,
            env: context.env,
          });
    const trustee = await startTrustee(options);
    const scheme = options.listen[0]?.tls === undefined ? "http" : "https";
    const urls = trustee.servers.map(
      ({ host, port }) => `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`,
    );
    print(context, { urls }, urls.map((url) => `listening on ${url}`).join("\n"));
    if (!context.interrupts.signal.aborted) {
      await new Promise<void>((done) =>
        context.interrupts.signal.addEventListener("abort", () => done(), { once: true }),
      );
    }
    await trustee.close();
    return 0;
  },
});

export const trusteeToken: Command = command({
  name: "trustee token",
  usage: "",
  summary: "Print a token that administers the broker of a folder",
  arity: { min: 0, max: 0 },
  flags: {
    folder: FOLDER,
    hours: { type: "string", value: "N", help: `how long it is valid; default: ${DEFAULT_HOURS}` },
  },
  run({ flags }, context) {
    const hours = Number(flags.hours ?? DEFAULT_HOURS);
    if (!(hours > 0 && hours <= 24 * 366)) throw new NacreError("usage", "--hours: expected a number above zero");
    const token = adminToken(folderOf(flags.folder, context), hours, Date.now());
    print(context, { token }, token);
    return Promise.resolve(0);
  },
});

async function fresh(
  flags: {
    readonly folder: string | undefined;
    readonly listen: string | undefined;
    readonly "insecure-http": boolean;
  },
  context: Context,
  log: (line: string) => void,
): Promise<TrusteeOptions> {
  const { host, port } = parseListenAddress(flags.listen ?? DEFAULT_LISTEN, "listen");
  const folder = folderOf(flags.folder, context);
  const options = await freshTrustee({ folder, host, port, insecureHttp: flags["insecure-http"], log });
  note(context, `keys in ${folder}; certificate ${join(folder, FreshFile.TLS_CERTIFICATE)}`);
  return options;
}

function folderOf(folder: string | undefined, { env }: Context): string {
  const home = env["XDG_STATE_HOME"] ?? (env["HOME"] === undefined ? undefined : join(env["HOME"], ".local/state"));
  if (folder === undefined && home === undefined) throw new NacreError("usage", "expected --folder");
  return resolve(folder ?? join(home ?? "", "nacre-trustee"));
}
