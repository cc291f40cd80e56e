import { readFileSync, writeFileSync } from "node:fs";

import { parseLossless } from "@nacre/protocols";
import { errorText, parseEventLog, parsePemChain } from "@nacre/trustee";

import { askAgent, requestOf } from "../attest/ask-agent.ts";
import { agentOfGuest } from "../attest/guest-agent.ts";
import { proofOfToken } from "../attest/from-token.ts";
import { judge } from "../attest/judge.ts";
import { attestPage } from "../attest/page.ts";
import { eventRows, isProven, type Proof } from "../attest/proof.ts";
import { showProof } from "../attest/show.ts";
import { type Command, command } from "../command.ts";
import { type Context, print } from "../context.ts";
import { NacreError } from "../error.ts";
import { readInput } from "../input-file.ts";
import { selectGuest } from "../select.ts";

export const attest: Command = command({
  name: "attest",
  usage: "[GUEST]",
  summary: "Show what a guest has proven, as tables or as a page",
  details: `
Asks a guest's attestation agent for evidence of now and verifies it here, under the default policies and the reference
values that --reference-values names (make rootfs writes them). With --evidence or --token, what lies in a file instead.
A simulated guest has sample evidence, which proves nothing and is said to. A virtual machine has a TPM in software, whose
key counts for who takes this machine's word for it: the values that nacre guest start names. The exit status is 0 when
every device was affirmed and nothing was left open, else 1.`,
  arity: { min: 0, max: 1 },
  flags: {
    agent: { type: "string", value: "URL", help: "an attestation agent anywhere: unix://, hvsock://" },
    evidence: { type: "string", value: "FILE", help: "evidence in JSON; - is standard input" },
    tee: { type: "string", value: "KIND", help: "of which kind --evidence is: sample, snp, tdx, tpm, …" },
    token: {
      type: "string",
      value: "FILE",
      help: "an EAR token, or what an agent's GetToken gives; - is standard input",
    },
    trust: { type: "string", value: "FILE", help: "certificates, in PEM, of who may sign --token" },
    "reference-values": { type: "string", multiple: true, value: "FILE", help: "a message of reference values" },
    initdata: { type: "string", value: "FILE", help: "the initdata that must be bound, in TOML" },
    "event-log": { type: "string", value: "FILE", help: "a binary event log (CCEL, or a guest's own) to show as well" },
    html: { type: "string", value: "FILE", help: "write it as one page that needs no other file" },
  },
  async run({ args: [guest], flags }, context) {
    const { agent, evidence, token } = flags;
    if ([guest, agent, evidence, token].filter((one) => one !== undefined).length > 1)
      throw new NacreError("usage", "attest: one of GUEST, --agent, --evidence and --token");
    if (token !== undefined && flags.initdata !== undefined)
      throw new NacreError(
        "usage",
        "attest: --initdata goes with evidence; what a token was bound to is among its claims",
      );
    const references = await Promise.all(flags["reference-values"].map((file) => readInput(file, context)));
    const initData = flags.initdata === undefined ? undefined : await readInput(flags.initdata, context);
    let proof: Proof;
    if (token !== undefined) {
      const { trust } = flags;
      const certificates = trust === undefined ? [] : parsePemChain(await readInput(trust, context), trust);
      proof = await proofOfToken(named(token), await readInput(token, context), { certificates, jwks: [] }, references);
    } else if (evidence !== undefined) {
      const { tee } = flags;
      if (tee === undefined) throw new NacreError("usage", "attest: --evidence needs --tee");
      const request = requestOf(tee, parseEvidence(await readInput(evidence, context)), undefined);
      const requests = [{ ...request, ...(initData === undefined ? {} : { initData }) }];
      proof = await judge({ subject: named(evidence), requests, references, fresh: false });
    } else {
      const running = agent === undefined ? selectGuest(guest) : undefined;
      const address = agent ?? agentOfGuest(running ?? selectGuest(guest));
      const requests = await askAgent(address, context.interrupts.signal, initData);
      const subject = running === undefined ? `the agent at ${address}` : `guest ${running.id}`;
      proof = await judge({ subject, requests, references, fresh: true });
    }
    if (flags["event-log"] !== undefined) proof = withEventLog(proof, flags["event-log"]);
    return show(context, proof, flags.html);
  },
});

function named(file: string): string {
  return file === "-" ? "standard input" : file;
}

function parseEvidence(text: string): unknown {
  try {
    return parseLossless(text);
  } catch (cause) {
    throw new NacreError("input", "evidence: expected JSON", { cause });
  }
}

/** A log by itself is anybody's word; it counts where evidence has the registers that it leads to. */
function withEventLog(proof: Proof, file: string): Proof {
  let events: readonly unknown[];
  try {
    events = parseEventLog(readFileSync(file));
  } catch (cause) {
    throw new NacreError("input", `${file}: ${errorText(cause)}`, { cause });
  }
  const [first, ...others] = proof.devices;
  if (first === undefined) return proof;
  const remark = { tone: "bad", text: `The events of ${file} were not compared with registers.` } as const;
  return {
    ...proof,
    remarks: [...proof.remarks, remark],
    devices: [{ ...first, events: eventRows(events) }, ...others],
  };
}

function show(context: Context, proof: Proof, html: string | undefined): number {
  if (html !== undefined) {
    try {
      writeFileSync(html, attestPage(proof));
    } catch (cause) {
      throw new NacreError("input", `${html}: cannot be written`, { cause });
    }
  }
  print(context, { proven: isProven(proof), ...proof }, showProof(proof));
  return isProven(proof) ? 0 : 1;
}
