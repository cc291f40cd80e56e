import { KbsProtocolError, parseInitdata } from "@nacre/kbs-protocol";

import { type Command, command } from "../command.ts";
import { type Context, print, table } from "../context.ts";
import { NacreError } from "../error.ts";
import { type FoundDocument, readForm } from "../initdata/forms.ts";
import { FIELDS, type FieldName, type InitdataSummary, summaryOf } from "../initdata/summary.ts";
import { readInputBytes } from "../input-file.ts";
import { visible } from "../visible.ts";

const FORMS_HELP = `
FILE is the document, the text of a pod's annotation, a manifest with one, or a block device's image; - reads standard
input.`;

/** What a host puts there is called so. */
const FIELD_NAMES: Readonly<Record<FieldName, string>> = {
  snp: "SNP HOSTDATA",
  tdx: "TDX MRCONFIGID",
  se: "SE user data",
  cca: "CCA RPV",
};

export const initdataInspect: Command = command({
  name: "initdata inspect",
  usage: "FILE",
  summary: "Show what an initdata document holds, and what a launch with it must show",
  details: FORMS_HELP,
  arity: { min: 1, max: 1 },
  flags: {
    show: { type: "string", value: "NAME", help: "print one of its files, such as policy.rego" },
  },
  async run({ args: [path = ""], flags }, context) {
    const { form, toml, summary } = await read(path, context);
    if (flags.show === undefined) {
      print(context, { form, ...summary }, text(form, summary));
      return;
    }
    const content = parseInitdata(toml).data.get(flags.show);
    if (content === undefined) throw new NacreError("not-found", `initdata has no file ${JSON.stringify(flags.show)}`);
    print(context, { name: flags.show, content }, visible(content));
  },
});

export const initdataDigest: Command = command({
  name: "initdata digest",
  usage: "FILE",
  summary: "Print the digest of an initdata document",
  details: `${FORMS_HELP} --field prints it as the platform's field has it.`,
  arity: { min: 1, max: 1 },
  flags: {
    field: { type: "string", value: "PLATFORM", help: "snp, tdx, se, cca, or tpm: register 8 after it" },
    base64: { type: "boolean", help: "in base64, as attestation-agent --initdata-digest takes it" },
  },
  async run({ args: [path = ""], flags }, context) {
    const { summary } = await read(path, context);
    const hex = flags.field === undefined ? summary.digest : fieldOf(summary, flags.field);
    const digest = flags.base64 ? Buffer.from(hex, "hex").toString("base64") : hex;
    print(context, { algorithm: summary.algorithm, digest }, digest);
  },
});

async function read(path: string, context: Context): Promise<FoundDocument & { readonly summary: InitdataSummary }> {
  try {
    const found = await readForm(await readInputBytes(path, context));
    return { ...found, summary: summaryOf(found.toml) };
  } catch (cause) {
    if (!(cause instanceof KbsProtocolError)) throw cause;
    throw new NacreError("input", "no initdata that can be used", { cause });
  }
}

function fieldOf(summary: InitdataSummary, platform: string): string {
  if (platform === "tpm") {
    if (summary.pcr8 !== undefined) return summary.pcr8;
    throw new NacreError("input", `a TPM takes digests of 32 bytes (sha256), got ${summary.algorithm}`);
  }
  if (Object.hasOwn(FIELDS, platform)) return summary.fields[platform as FieldName];
  throw new NacreError("usage", `--field: expected ${Object.keys(FIELDS).join(", ")}, tpm`);
}

function text(form: string, { algorithm, bytes, digest, fields, files, pcr8 }: InitdataSummary): string {
  const rows = files.map(({ name, bytes: size, sha256 }) => [visible(name), String(size), sha256]);
  const shown = Object.entries(fields).filter(([name]) => name !== "se");
  return [
    `form       ${form}`,
    `algorithm  ${algorithm}`,
    `digest     ${digest}`,
    `bytes      ${bytes}`,
    "",
    table(["FILE", "BYTES", "SHA256"], rows),
    table(
      ["FIELD", "VALUE"],
      [
        ...shown.map(([name, value]) => [FIELD_NAMES[name as FieldName], value]),
        ["TPM PCR 8", pcr8 ?? "impossible: it takes sha256 alone"],
      ],
    ),
  ].join("\n");
}
