import { createHash, type KeyObject } from "node:crypto";

import type { CommandDevice, Devices } from "../devices.ts";
import { AttesterError } from "../error.ts";
import { PCR_BYTES, PCRS, parseQuote, parseRsaPublic, selection, TpmAlg, TpmReader } from "./structures.ts";

/** Commands (TPM 2.0 Library, part 2, table 12). */
const Command = {
  NV_READ: 0x14e,
  NV_READ_PUBLIC: 0x169,
  NV_DEFINE_SPACE: 0x12a,
  NV_WRITE: 0x137,
  PCR_EXTEND: 0x182,
  PCR_READ: 0x17e,
  QUOTE: 0x158,
  READ_PUBLIC: 0x173,
} as const;
const NO_SESSIONS = 0x8001;
const SESSIONS = 0x8002;
const HEADER = 10;
const OWNER = 0x40000001;
/** The empty password: handle, nonce, attributes, authorisation. */
const EMPTY_PASSWORD: Buffer = Buffer.from("400000090000000000", "hex");
/** A response says to try again: the TPM is busy with itself. */
const RETRY: readonly number[] = [0x908, 0x922];
const MAX_BUSY = 8;
/** Most TPMs give eight values at once. */
const AT_ONCE = 8;
const NV_CHUNK = 1024;
/** Owner and authorised may read and write (TPMA_NV). */
const NV_ATTRIBUTES = 0x0006_0006;

export interface TpmQuoteParts {
  /** TPMT_SIGNATURE. */
  readonly signature: Buffer;
  /** TPMS_ATTEST. */
  readonly message: Buffer;
  /** All registers' SHA-256 values, those over which the quote is. */
  readonly pcrs: readonly Buffer[];
}

/** A TPM 2.0, by its own commands; one at a time, as the device takes them. */
export class Tpm {
  readonly #devices: Devices;
  readonly #path: string;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(devices: Devices, path: string) {
    this.#devices = devices;
    this.#path = path;
  }

  /**
   * A quote over all registers, RSASSA with SHA-256. Registers that are extended meanwhile make it disagree with their
   * values, and then it is made again. Rejects with AttesterError.
   */
  async quote(handle: number, nonce: Uint8Array): Promise<TpmQuoteParts> {
    return await this.#use(async (device) => {
      for (let tries = 1; ; tries++) {
        const { signature, message } = await quoteOnce(device, handle, nonce);
        const pcrs = await readPcrs(device, allPcrs());
        const digest = createHash("sha256").update(Buffer.concat(pcrs)).digest();
        const quoted = parseQuote(message);
        if (!quoted.extraData.equals(nonce))
          throw new AttesterError("malformed", "TPM: expected our nonce in the quote");
        if (quoted.pcrDigest.equals(digest)) return { signature, message, pcrs };
        if (tries === MAX_BUSY) throw new AttesterError("device", "TPM: registers change faster than they are quoted");
      }
    });
  }

  async readPcr(register: number): Promise<Buffer> {
    const [value] = await this.#use((device) => readPcrs(device, [register]));
    if (value === undefined) throw new AttesterError("malformed", `TPM: expected a value of PCR ${register}`);
    return value;
  }

  async extendPcr(register: number, digest: Uint8Array): Promise<void> {
    if (register < 0 || register >= PCRS || digest.length !== PCR_BYTES) {
      throw new AttesterError("input", `TPM: expected a PCR below ${PCRS} and ${PCR_BYTES} bytes`);
    }
    const head = Buffer.alloc(6);
    head.writeUInt32BE(1, 0);
    head.writeUInt16BE(TpmAlg.SHA256, 4);
    await this.#use((device) =>
      run(device, Command.PCR_EXTEND, {
        handles: [register],
        parameters: Buffer.concat([head, digest]),
        authorised: true,
      }),
    );
  }

  /** The public part of a key that lies in the TPM. */
  async readPublic(handle: number): Promise<KeyObject> {
    const response = await this.#use((device) => run(device, Command.READ_PUBLIC, { handles: [handle] }));
    return parseRsaPublic(response.sized());
  }

  /** The whole of an index of the TPM's memory, by the empty owner's password. */
  async readNv(index: number): Promise<Buffer> {
    return await this.#use(async (device) => {
      const size = await nvSize(device, index);
      const parts: Buffer[] = [];
      for (let offset = 0; offset < size; offset += NV_CHUNK) {
        const parameters = Buffer.alloc(4);
        parameters.writeUInt16BE(Math.min(NV_CHUNK, size - offset), 0);
        parameters.writeUInt16BE(offset, 2);
        const response = await run(device, Command.NV_READ, { handles: [OWNER, index], parameters, authorised: true });
        parts.push(response.sized());
      }
      return Buffer.concat(parts);
    });
  }

  /** Writes an index, which is made where it is not there. */
  async writeNv(index: number, data: Uint8Array): Promise<void> {
    await this.#use(async (device) => {
      await nvSize(device, index).catch(() => defineNv(device, index, data.length));
      for (let offset = 0; offset < data.length; offset += NV_CHUNK) {
        const at = Buffer.alloc(2);
        at.writeUInt16BE(offset);
        const parameters = Buffer.concat([sized(data.subarray(offset, offset + NV_CHUNK)), at]);
        await run(device, Command.NV_WRITE, { handles: [OWNER, index], parameters, authorised: true });
      }
    });
  }

  /** The device is opened for each use: it takes one user, and others of the guest want it, too. */
  async #use<T>(use: (device: CommandDevice) => Promise<T>): Promise<T> {
    const before = this.#turn;
    const mine = (async () => {
      await before.catch(() => undefined);
      const device = await this.#devices.open(this.#path);
      try {
        return await use(device);
      } finally {
        await device.close();
      }
    })();
    this.#turn = mine;
    return await mine;
  }
}

interface CommandParts {
  readonly handles: readonly number[];
  readonly parameters?: Uint8Array;
  readonly authorised?: boolean;
}

/** One command; the response behind its header, and behind its parameters' length where there is one. */
async function run(device: CommandDevice, code: number, parts: CommandParts): Promise<TpmReader> {
  const command = encode(code, parts);
  for (let tries = 1; ; tries++) {
    const response = await device.transact(command);
    const reader = new TpmReader(response);
    reader.u16();
    if (reader.u32() !== response.length) throw new AttesterError("malformed", "TPM: expected a whole response");
    const status = reader.u32();
    if (status === 0) {
      if (parts.authorised === true) reader.u32();
      return reader;
    }
    if (!RETRY.includes(status) || tries === MAX_BUSY) {
      const text = `TPM: command 0x${code.toString(16)}: expected success, got 0x${status.toString(16)}`;
      throw new AttesterError("device", text);
    }
  }
}

function encode(code: number, { handles, parameters = new Uint8Array(), authorised = false }: CommandParts): Buffer {
  const handleArea = Buffer.alloc(4 * handles.length);
  for (const [at, handle] of handles.entries()) handleArea.writeUInt32BE(handle, 4 * at);
  const authArea = authorised ? Buffer.concat([u32(EMPTY_PASSWORD.length), EMPTY_PASSWORD]) : Buffer.alloc(0);
  const header = Buffer.alloc(HEADER);
  header.writeUInt16BE(authorised ? SESSIONS : NO_SESSIONS, 0);
  header.writeUInt32BE(HEADER + handleArea.length + authArea.length + parameters.length, 2);
  header.writeUInt32BE(code, 6);
  return Buffer.concat([header, handleArea, authArea, parameters]);
}

async function quoteOnce(
  device: CommandDevice,
  handle: number,
  nonce: Uint8Array,
): Promise<{ readonly signature: Buffer; readonly message: Buffer }> {
  const scheme = Buffer.alloc(4);
  scheme.writeUInt16BE(TpmAlg.RSASSA, 0);
  scheme.writeUInt16BE(TpmAlg.SHA256, 2);
  const parameters = Buffer.concat([sized(nonce), scheme, selection(allPcrs())]);
  const response = await run(device, Command.QUOTE, { handles: [handle], parameters, authorised: true });
  const message = response.sized();
  const head = response.take(4);
  if (head.readUInt16BE(0) !== TpmAlg.RSASSA || head.readUInt16BE(2) !== TpmAlg.SHA256) {
    throw new AttesterError("unsupported", "TPM: expected a signature by RSASSA with SHA-256");
  }
  const signature = response.sized();
  return { signature: Buffer.concat([head, sized(signature)]), message };
}

async function readPcrs(device: CommandDevice, registers: readonly number[]): Promise<Buffer[]> {
  const values: Buffer[] = [];
  for (let first = 0; first < registers.length; first += AT_ONCE) {
    const part = registers.slice(first, first + AT_ONCE);
    const response = await run(device, Command.PCR_READ, { handles: [], parameters: selection(part) });
    // The counter of updates and the selection that was read.
    response.u32();
    for (let left = response.u32(); left > 0; left--) {
      response.u16();
      response.take(response.u8());
    }
    const count = response.u32();
    if (count !== part.length) throw new AttesterError("unsupported", "TPM: expected a SHA-256 value of each PCR");
    for (let left = count; left > 0; left--) values.push(Buffer.from(response.sized()));
  }
  return values;
}

async function nvSize(device: CommandDevice, index: number): Promise<number> {
  const response = await run(device, Command.NV_READ_PUBLIC, { handles: [index] });
  const area = new TpmReader(response.sized());
  area.take(4 + 2 + 4);
  area.sized();
  return area.u16();
}

async function defineNv(device: CommandDevice, index: number, size: number): Promise<void> {
  const area = Buffer.alloc(14);
  area.writeUInt32BE(index, 0);
  area.writeUInt16BE(TpmAlg.SHA256, 4);
  area.writeUInt32BE(NV_ATTRIBUTES, 6);
  area.writeUInt16BE(size, 12);
  const parameters = Buffer.concat([sized(new Uint8Array()), sized(area)]);
  await run(device, Command.NV_DEFINE_SPACE, { handles: [OWNER], parameters, authorised: true });
}

function allPcrs(): readonly number[] {
  return Array.from({ length: PCRS }, (_, register) => register);
}

function sized(bytes: Uint8Array): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
