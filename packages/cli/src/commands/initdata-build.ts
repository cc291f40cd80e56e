import { writeFileSync } from "node:fs";

import {
  formatInitdata,
  INITDATA_ALGORITHMS,
  type InitdataAlgorithm,
  InitdataKey,
  parseInitdata,
} from "@nacre/kbs-protocol";

import { type Command, command } from "../command.ts";
import { note, print } from "../context.ts";
import { NacreError } from "../error.ts";
import { FORMS, type InitdataForm, writeForm } from "../initdata/forms.ts";
import { summaryOf } from "../initdata/summary.ts";
import { readInput } from "../input-file.ts";
import { loadPolicy } from "../policy.ts";

const DEFAULT_ALGORITHM = "sha256";

export const initdataBuild: Command = command({
  name: "initdata build",
  usage: "",
  summary: "Write an initdata document from a policy and the components' configuration",
  details: `
What is given is checked first: the policy as a guest parses it. Formats: toml, the document; annotation, what a pod's
io.katacontainers.config.hypervisor.cc_init_data holds; image, the block device of a virtual machine; configmap, a
ConfigMap with the annotation's text, for Kyverno's policies. A TPM takes digests of sha256 alone.`,
  arity: { min: 0, max: 0 },
  flags: {
    policy: { type: "string", value: "FILE", help: "the agent's policy, Rego" },
    aa: { type: "string", value: "FILE", help: "the attestation agent's configuration, TOML" },
    cdh: { type: "string", value: "FILE", help: "the data hub's configuration, TOML" },
    file: {
      type: "string",
      multiple: true,
      value: "NAME=FILE",
      help: "another file, which guests keep and do not use",
    },
    algorithm: { type: "string", value: "NAME", help: `sha256 (default), sha384 or sha512` },
    format: { type: "string", short: "f", value: "FORMAT", help: `${FORMS.join(", ")}; default: toml` },
    output: { type: "string", short: "o", value: "FILE", help: "where to write it; default: standard output" },
    name: { type: "string", value: "NAME", help: "of the ConfigMap; default: initdata" },
    namespace: { type: "string", value: "NAME", help: "of the ConfigMap" },
    key: { type: "string", value: "KEY", help: "of the ConfigMap; default: initdata" },
  },
  async run({ flags }, context) {
    const algorithm = parseAlgorithm(flags.algorithm ?? DEFAULT_ALGORITHM);
    const form = parseForm(flags.format ?? "toml");
    if (form === "image" && flags.output === undefined && context.stdout.isTTY) {
      throw new NacreError("usage", "initdata build: an image is binary, name a file by --output");
    }
    const data = new Map<string, string>();
    const add = async (name: string, path: string | undefined): Promise<void> => {
      if (path === undefined) return;
      if (data.has(name)) throw new NacreError("usage", `initdata build: ${name} is given twice`);
      data.set(name, await readInput(path, context));
    };
    await add(InitdataKey.POLICY, flags.policy);
    await add(InitdataKey.ATTESTATION_AGENT, flags.aa);
    await add(InitdataKey.DATA_HUB, flags.cdh);
    for (const entry of flags.file) {
      const [, name, path] = /^([^=]+)=(.+)$/su.exec(entry) ?? [];
      if (name === undefined) throw new NacreError("usage", `--file: expected NAME=FILE, got ${JSON.stringify(entry)}`);
      await add(name, path);
    }
    if (data.size === 0) throw new NacreError("usage", "initdata build: expected --policy, --aa, --cdh or --file");
    await check(data);
    const toml = Buffer.from(formatInitdata({ algorithm, data }));
    // What was written is what is read, whatever the texts hold.
    for (const [name, text] of parseInitdata(toml).data) {
      if (data.get(name) !== text) throw new NacreError("input", `${name}: expected text that TOML can hold`);
    }
    const { name = "initdata", namespace, key = "initdata" } = flags;
    const bytes = await writeForm(form, toml, { name, namespace, key });
    const summary = summaryOf(toml);
    if (flags.output !== undefined) {
      writeFileSync(flags.output, bytes);
      print(context, { ...summary, format: form, output: flags.output }, `${algorithm} ${summary.digest}`);
    } else if (context.json) {
      print(context, { ...summary, format: form, content: bytes.toString(form === "image" ? "base64" : "utf8") }, "");
    } else {
      context.stdout.write(bytes);
      note(context, `${algorithm} ${summary.digest}`);
    }
  },
});

/** A guest that cannot use its configuration ends; better now than then. Rejects with NacreError `input`. */
async function check(data: ReadonlyMap<string, string>): Promise<void> {
  const policy = data.get(InitdataKey.POLICY);
  if (policy !== undefined) await loadPolicy(policy, InitdataKey.POLICY);
  const { parse } = await import("smol-toml");
  for (const name of [InitdataKey.ATTESTATION_AGENT, InitdataKey.DATA_HUB]) {
    try {
      parse(data.get(name) ?? "");
    } catch (cause) {
      throw new NacreError("input", `${name} is not TOML`, { cause });
    }
  }
}

function parseAlgorithm(text: string): InitdataAlgorithm {
  if (Object.hasOwn(INITDATA_ALGORITHMS, text)) return text as InitdataAlgorithm;
  throw new NacreError("usage", `--algorithm: expected ${Object.keys(INITDATA_ALGORITHMS).join(", ")}`);
}

function parseForm(text: string): InitdataForm {
  const form = FORMS.find((name) => name === text);
  if (form === undefined) throw new NacreError("usage", `--format: expected ${FORMS.join(", ")}`);
  return form;
}
