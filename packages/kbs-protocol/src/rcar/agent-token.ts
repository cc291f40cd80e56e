import { KbsProtocolError } from "../error.ts";
import { MAX_TOKEN_REPLY } from "./messages.ts";
import { TeeKey } from "./tee-key.ts";

/** What the attestation agent hands to the data hub. */
export interface AgentToken {
  readonly token: string;
  readonly key: TeeKey;
}

const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;
const QUOTE = 0x22;

/** JSON with `token` and `tee_keypair`, the key in PEM. Bytes throughout: the caller zeroes them. */
export function formatAgentToken({ token, key }: AgentToken): Buffer {
  const pem = key.toPem();
  try {
    const head = Buffer.from(`{"token":${JSON.stringify(token)},"tee_keypair":"`);
    const lines = pem.reduce((count, byte) => count + (byte === NEWLINE ? 1 : 0), 0);
    const out = Buffer.alloc(head.length + pem.length + lines + 2);
    let at = head.copy(out);
    for (const byte of pem) {
      if (byte === NEWLINE) {
        out[at++] = BACKSLASH;
        out[at++] = 0x6e;
      } else out[at++] = byte;
    }
    out[at++] = QUOTE;
    out[at] = 0x7d;
    return out;
  } finally {
    pem.fill(0);
  }
}

/** The other way. The bytes are zeroed. Throws KbsProtocolError `message`, `key` or `too-long`. */
export function parseAgentToken(json: Buffer): AgentToken {
  try {
    if (json.length > MAX_TOKEN_REPLY) throw new KbsProtocolError("too-long", "agent's token: expected less");
    const pem = textOf(json, "tee_keypair");
    try {
      return { token: textOf(json, "token").toString("latin1"), key: TeeKey.fromPem(pem) };
    } finally {
      pem.fill(0);
    }
  } finally {
    json.fill(0);
  }
}

/**
 * A member's text, as bytes. Neither a token nor a PEM has a quote or a backslash in it but for line ends, so the name in
 * quotes cannot stand in another text.
 */
function textOf(json: Buffer, name: string): Buffer {
  const bad = (): KbsProtocolError => new KbsProtocolError("message", `agent's token: expected the text ${name}`);
  let at = json.indexOf(`"${name}"`, 0, "latin1");
  if (at < 0) throw bad();
  at += name.length + 2;
  const skip = (): void => {
    while ([0x20, 0x09, NEWLINE, 0x0d].includes(json[at] ?? 0)) at += 1;
  };
  skip();
  if (json[at++] !== 0x3a) throw bad();
  skip();
  if (json[at++] !== QUOTE) throw bad();
  const end = json.indexOf(QUOTE, at);
  if (end < 0) throw bad();
  const out = Buffer.alloc(end - at);
  let length = 0;
  for (; at < end; at++) {
    const byte = json[at] ?? 0;
    if (byte !== BACKSLASH) out[length++] = byte;
    else if (json[++at] === 0x6e) out[length++] = NEWLINE;
    else if (json[at] === 0x2f) out[length++] = 0x2f;
    else {
      out.fill(0);
      throw bad();
    }
  }
  return out.subarray(0, length);
}
