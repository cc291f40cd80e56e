import type { Socket } from "node:net";

import { NacreError } from "../../error.ts";

/** Where attestation agents look for the key unless they are told otherwise (guest-components 1.2). */
export const AK_HANDLE = 0x8101_0002;

/** Commands (TPM 2.0 Library, part 2, table 12). */
const Command = { EVICT_CONTROL: 0x120, CREATE_PRIMARY: 0x131, SHUTDOWN: 0x145 } as const;
const NO_SESSIONS = 0x8001;
const SESSIONS = 0x8002;
const HEADER = 10;
/** The owner's hierarchy, whose password is empty in a TPM that nobody has used. */
const OWNER = "40000001";
/** One session: the password, no nonce, no attributes, nothing. */
const EMPTY_PASSWORD = "00000009400000090000000000";
/**
 * TPMT_PUBLIC: RSA, names by SHA-256; fixed to this TPM, made by it, with a password, restricted to signing what the TPM
 * itself has made; no policy, no symmetric cipher, RSASSA with SHA-256, 2048 bits, the usual exponent, any modulus.
 */
const TEMPLATE = "0001000b00050072000000100014000b0800000000000000";
/** Where in the public area that comes back the modulus has its length; before it is what the template says. */
const MODULUS_AT = 22;
const MODULUS = 256;
/** Of a TPM in software, whatever it answers. */
const MAX_RESPONSE = 4096;

/**
 * Makes the key with which a new TPM signs its quotes, at the handle where agents look for it. Resolves with the
 * key's modulus; who ends the TPM then has it kept. Rejects with NacreError `environment`.
 */
export async function makeAttestationKey(commands: Socket, at: number = AK_HANDLE): Promise<Buffer> {
  // No secrets of ours, no outside information, no registers.
  const parameters = `${sized("00000000")}${sized(TEMPLATE)}${sized("")}00000000`;
  const created = await run(commands, Command.CREATE_PRIMARY, `${OWNER}${EMPTY_PASSWORD}${parameters}`);
  // Handle, length of the parameters, the public area with its length.
  const object = created.toString("hex", 0, 4);
  const area = created.subarray(10, 10 + created.readUInt16BE(8));
  if (area.length !== MODULUS_AT + 2 + MODULUS || area.readUInt16BE(MODULUS_AT) !== MODULUS) {
    throw unexpected(`a key of ${8 * MODULUS} bits`);
  }
  const handle = at.toString(16).padStart(8, "0");
  await run(commands, Command.EVICT_CONTROL, `${OWNER}${object}${EMPTY_PASSWORD}${handle}`);
  // In good order: a TPM counts, and shows in its quotes, the times that it was not.
  await run(commands, Command.SHUTDOWN, "0000", NO_SESSIONS);
  return Buffer.from(area.subarray(MODULUS_AT + 2));
}

/** What is behind a response's header. */
async function run(commands: Socket, code: number, body: string, tag: number = SESSIONS): Promise<Buffer> {
  const bytes = Buffer.alloc(HEADER + body.length / 2);
  bytes.writeUInt16BE(tag, 0);
  bytes.writeUInt32BE(bytes.length, 2);
  bytes.writeUInt32BE(code, 6);
  bytes.write(body, HEADER, "hex");
  commands.write(bytes);
  let response = Buffer.alloc(0);
  for await (const chunk of commands.iterator({ destroyOnReturn: false })) {
    response = Buffer.concat([response, chunk as Buffer]);
    if (response.length > MAX_RESPONSE) throw unexpected(`at most ${MAX_RESPONSE} bytes`);
    if (response.length < HEADER || response.length < response.readUInt32BE(2)) continue;
    const status = response.readUInt32BE(6);
    if (status !== 0) throw unexpected(`success, got 0x${status.toString(16)} for command 0x${code.toString(16)}`);
    return response.subarray(HEADER);
  }
  throw unexpected("a response, got the end of the connection");
}

function sized(hex: string): string {
  return `${(hex.length / 2).toString(16).padStart(4, "0")}${hex}`;
}

function unexpected(expected: string): NacreError {
  return new NacreError("environment", `make the TPM's attestation key: expected ${expected}`);
}
