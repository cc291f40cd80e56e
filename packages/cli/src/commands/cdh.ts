import {
  GetResourceService,
  ImagePullService,
  type Init,
  KeyProviderService,
  type MethodDescriptor,
  SealedSecretService,
} from "@nacre/protocols";
import { REASON_DOMAIN } from "@nacre/kbs-protocol";
import { reasonOf, RpcError, TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";

import { command, type Command, type Flag } from "../command.ts";
import { type Context, print } from "../context.ts";
import { NacreError } from "../error.ts";
import { readInputBytes } from "../input-file.ts";
import { selectGuest } from "../select.ts";
import { visibleLine } from "../visible.ts";

const SOCKET = "/run/confidential-containers/cdh.sock";
const DIAL_TIMEOUT_MS = 5000;
/** As upstream's client. A pull has no bound but the caller's patience. */
const TIMEOUT_MS = 50_000;

const WHERE: Readonly<Record<"address" | "guest", Flag & { readonly type: "string" }>> = {
  guest: { type: "string", value: "GUEST", help: "whose hub; default: the only guest's" },
  address: { type: "string", short: "s", value: "URL", help: "a hub anywhere: unix://, hvsock://" },
};
const RAW: Flag & { readonly type: "boolean" } = { type: "boolean", help: "the bytes themselves, not base64" };

const DETAILS = `
The hub listens inside of the guest: of a simulated one its socket is reached through the guest's file system. A virtual
machine's is not reached from here; --address takes a socket wherever it is. Results are printed in base64.`;

export const cdhGetResource: Command = command({
  name: "cdh get-resource",
  usage: "NAME",
  summary: "Get a resource of the key broker through a guest's data hub",
  details: DETAILS,
  arity: { min: 1, max: 1 },
  flags: { ...WHERE, raw: RAW },
  async run({ flags, args: [name = ""] }, context) {
    const { Resource } = await call(flags, context, GetResourceService.methods.GetResource, { ResourcePath: name });
    output(context, Resource, flags.raw);
  },
});

export const cdhUnseal: Command = command({
  name: "cdh unseal-secret",
  usage: "FILE",
  summary: "Have a guest's data hub open a sealed secret",
  details: `${DETAILS}\nFILE holds \`sealed.…\`; - is standard input.`,
  arity: { min: 1, max: 1 },
  flags: { ...WHERE, raw: RAW },
  async run({ flags, args: [file = ""] }, context) {
    const secret = Buffer.from((await readInputBytes(file, context)).toString("latin1").trimEnd(), "latin1");
    const { plaintext } = await call(flags, context, SealedSecretService.methods.UnsealSecret, { secret });
    output(context, plaintext, flags.raw);
  },
});

export const cdhUnwrap: Command = command({
  name: "cdh unwrap-key",
  usage: "FILE",
  summary: "Have a guest's data hub unwrap the options of an encrypted layer",
  details: `${DETAILS}\nFILE holds the annotation packet in JSON; - is standard input.`,
  arity: { min: 1, max: 1 },
  flags: { ...WHERE, raw: RAW },
  async run({ flags, args: [file = ""] }, context) {
    const annotation = (await readInputBytes(file, context)).toString("base64");
    const input = {
      op: "keyunwrap",
      keywrapparams: { ec: null, optsdata: null },
      keyunwrapparams: { dc: { Parameters: {} }, annotation },
    };
    const reply = await call(flags, context, KeyProviderService.methods.UnWrapKey, {
      KeyProviderKeyWrapProtocolInput: Buffer.from(JSON.stringify(input)),
    });
    output(context, reply.KeyProviderKeyWrapProtocolOutput, flags.raw);
  },
});

export const cdhPullImage: Command = command({
  name: "cdh pull-image",
  usage: "REFERENCE",
  summary: "Have a guest's data hub pull an image into a bundle",
  details: DETAILS,
  arity: { min: 1, max: 1 },
  flags: { ...WHERE, bundle: { type: "string", value: "PATH", help: "where, in the guest" } },
  async run({ flags, args: [reference = ""] }, context) {
    if (flags.bundle === undefined) throw new NacreError("usage", "cdh pull-image: expected --bundle");
    const request = { image_url: reference, bundle_path: flags.bundle };
    const { manifest_digest: digest } = await call(flags, context, ImagePullService.methods.PullImage, request, 0);
    print(context, { digest }, visibleLine(digest));
  },
});

function output(context: Context, bytes: Uint8Array, raw: boolean): void {
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (raw) context.stdout.write(data);
  else print(context, { data: data.toString("base64") }, data.toString("base64"));
}

async function call<Req, Res>(
  { address, guest }: Readonly<Record<"address" | "guest", string | undefined>>,
  { interrupts: { signal } }: Context,
  method: MethodDescriptor<Req, Res>,
  request: Init<Req>,
  timeoutMs = TIMEOUT_MS,
): Promise<Res> {
  const url = address ?? hubOfGuest(guest);
  let client: TtrpcClient;
  try {
    client = new TtrpcClient(await dial(url, { timeoutMs: DIAL_TIMEOUT_MS, signal }));
  } catch (cause) {
    throw new NacreError("agent", `the data hub at ${url} cannot be reached`, { cause });
  }
  try {
    return await client.call(method, request, { timeoutMs, signal });
  } catch (cause) {
    if (!(cause instanceof RpcError)) throw cause;
    const reason = reasonOf(cause, REASON_DOMAIN);
    throw new NacreError(
      reason === "DENIED" ? "refused" : reason === "MISSING" ? "not-found" : "agent",
      `${reason === undefined ? "" : `${reason.toLowerCase()}: `}${cause.message}`,
    );
  } finally {
    client.close();
  }
}

function hubOfGuest(selector: string | undefined): string {
  const guest = selectGuest(selector);
  if (guest.kind === "simulated") return `unix:///proc/${guest.initPid}/root${SOCKET}`;
  throw new NacreError(
    "usage",
    `guest ${guest.id} is a virtual machine: its data hub is not reached from here; give the socket's --address`,
  );
}
