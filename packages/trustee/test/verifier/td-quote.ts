import { sign } from "node:crypto";

import type { TdxCollateral } from "../../src/verifier/tdx/collateral.ts";
import {
  certificate,
  ecKey,
  integer,
  octets,
  oid,
  pem,
  revocationList,
  sequence,
  sha256,
  type TestKey,
} from "../certificates.ts";

const SGX = "1.2.840.113741.1.13.1";

/** A TD on a platform that the test made, and the "Intel" that vouches for it. */
export interface MadeTd {
  readonly quote: Buffer;
  readonly root: TestKey;
  readonly collateral: TdxCollateral;
}

export interface TdOptions {
  readonly version?: 4 | 5;
  readonly rtmrs?: readonly Buffer[];
  readonly reportData?: Buffer;
  readonly configId?: Buffer;
  readonly tcbSvn?: readonly number[];
  readonly platformSvn?: number;
  readonly qeSvn?: number;
  readonly platformStatus?: string;
  readonly qeStatus?: string;
  readonly fmspc?: string;
  readonly revoked?: readonly number[];
  readonly rootRevoked?: readonly number[];
  readonly nextUpdate?: string;
  readonly pckTo?: string;
  readonly qeReportData?: Buffer;
}

let keys: Readonly<Record<"ca" | "pck" | "root" | "signer", TestKey>> | undefined;

export function makeTd(options: TdOptions = {}): MadeTd {
  keys ??= { root: ecKey(), ca: ecKey(), pck: ecKey(), signer: ecKey() };
  const attestation = ecKey();
  const root = certificate({ subject: "Root", key: keys.root.publicKey, signer: keys.root.privateKey, ca: true });
  const issued = { signer: keys.root.privateKey, issuer: "Root" };
  const ca = certificate({ subject: "PCK Platform CA", key: keys.ca.publicKey, ca: true, serial: 2, ...issued });
  const pck = certificate({
    subject: "PCK",
    issuer: "PCK Platform CA",
    key: keys.pck.publicKey,
    signer: keys.ca.privateKey,
    serial: 0x81,
    extensions: new Map([[SGX, sgxExtension(options.platformSvn ?? 5)]]),
    ...(options.pckTo === undefined ? {} : { to: options.pckTo }),
  });
  const signer = certificate({ subject: "TCB Signing", key: keys.signer.publicKey, serial: 3, ...issued });
  const chain = [pck, ca, root].map(pem).join("");

  const signed = Buffer.concat([quoteHeader(options), tdBody(options)]);
  const point = rawPoint(attestation);
  const authData = Buffer.alloc(32, 8);
  const qeReport = Buffer.alloc(384);
  Buffer.alloc(32, 0xdc).copy(qeReport, 128);
  qeReport.writeUInt16LE(2, 256);
  qeReport.writeUInt16LE(options.qeSvn ?? 4, 258);
  (options.qeReportData ?? sha256(point, authData)).copy(qeReport, 320);
  const certification = Buffer.concat([
    qeReport,
    raw(keys.pck, qeReport),
    u16(authData.length),
    authData,
    u16(5),
    u32(Buffer.byteLength(chain)),
    Buffer.from(chain),
  ]);
  const data = Buffer.concat([raw(attestation, signed), point, u16(6), u32(certification.length), certification]);
  const issuerChain = [signer, root].map(pem).join("");
  return {
    quote: Buffer.concat([signed, u32(data.length), data, Buffer.alloc(70)]),
    root: keys.root,
    collateral: {
      tcbInfo: document("tcbInfo", tcbInfo(options), keys.signer),
      tcbInfoChain: issuerChain,
      qeIdentity: document("enclaveIdentity", qeIdentity(options), keys.signer),
      qeIdentityChain: issuerChain,
      rootCrl: revocationList("Root", keys.root.privateKey, options.rootRevoked ?? []),
      pckCrl: revocationList("PCK Platform CA", keys.ca.privateKey, options.revoked ?? []),
    },
  };
}

function quoteHeader({ version = 4 }: TdOptions): Buffer {
  const head = Buffer.concat([
    u16(version),
    u16(2),
    u32(0x81),
    Buffer.alloc(4),
    Buffer.alloc(16, 0x93),
    Buffer.alloc(20),
  ]);
  return version === 4 ? head : Buffer.concat([head, u16(3), u32(648)]);
}

function tdBody(options: TdOptions): Buffer {
  const rtmrs = options.rtmrs ?? [1, 2, 3, 4].map(() => Buffer.alloc(48));
  const tcbSvn = Buffer.alloc(16);
  Buffer.from(options.tcbSvn ?? [5, 0, 2]).copy(tcbSvn);
  const body = Buffer.concat([
    tcbSvn,
    Buffer.alloc(48, 0x5e),
    Buffer.alloc(48),
    Buffer.alloc(8),
    Buffer.from("0000001000000000", "hex"),
    Buffer.from("e742060000000000", "hex"),
    Buffer.alloc(48, 0x3d),
    options.configId ?? Buffer.alloc(48),
    Buffer.alloc(96),
    ...rtmrs,
    options.reportData ?? Buffer.alloc(64),
  ]);
  return options.version === 5 ? Buffer.concat([body, Buffer.alloc(16, 6), Buffer.alloc(48, 7)]) : body;
}

function sgxExtension(svn: number): Buffer {
  const entry = (id: string, value: Buffer): Buffer => sequence(oid(`${SGX}.${id}`), value);
  const components = Array.from({ length: 16 }, (_, at) => entry(`2.${at + 1}`, integer(svn)));
  return sequence(
    entry("1", octets(Buffer.alloc(16))),
    entry("2", sequence(...components, entry("2.17", integer(svn)), entry("2.18", octets(Buffer.alloc(16))))),
    entry("3", octets(Buffer.alloc(2))),
    entry("4", octets(Buffer.from("00906ed50000", "hex"))),
    entry("6", octets(Buffer.from([...Array(16).keys()]))),
  );
}

function tcbInfo(options: TdOptions): unknown {
  const components = (svn: number): unknown => Array.from({ length: 16 }, (_, at) => ({ svn: at < 3 ? svn : 0 }));
  const level = (svn: number, tcbStatus: string): unknown => ({
    tcb: {
      sgxtcbcomponents: components(svn),
      pcesvn: svn,
      tdxtcbcomponents: [{ svn: 5 }, { svn: 0 }, ...Array.from({ length: 14 }, () => ({ svn: 0 }))],
    },
    tcbDate: "2024-03-13T00:00:00Z",
    tcbStatus,
    advisoryIDs: [`INTEL-SA-${svn}`],
  });
  const module = { mrsigner: "0".repeat(96), attributes: "0".repeat(16), attributesMask: "F".repeat(16) };
  return {
    id: "TDX",
    version: 3,
    issueDate: "2026-01-01T00:00:00Z",
    nextUpdate: options.nextUpdate ?? "2048-01-01T00:00:00Z",
    fmspc: options.fmspc ?? "00906ED50000",
    pceId: "0000",
    tcbEvaluationDataNumber: 17,
    tdxModule: module,
    tdxModuleIdentities: [
      {
        id: "TDX_01",
        ...module,
        tcbLevels: [
          { tcb: { isvsvn: 4 }, tcbDate: "2024-03-13T00:00:00Z", tcbStatus: "UpToDate" },
          { tcb: { isvsvn: 2 }, tcbDate: "2023-08-09T00:00:00Z", tcbStatus: "OutOfDate" },
        ],
      },
    ],
    tcbLevels: [level(5, options.platformStatus ?? "UpToDate"), level(3, "OutOfDate")],
    note: 'a brace } in "text" \\',
  };
}

function qeIdentity(options: TdOptions): unknown {
  return {
    id: "TD_QE",
    version: 2,
    issueDate: "2026-02-01T00:00:00Z",
    nextUpdate: "2048-01-01T00:00:00Z",
    tcbEvaluationDataNumber: 18,
    miscselect: "00000000",
    miscselectMask: "FFFFFFFF",
    attributes: "0".repeat(32),
    attributesMask: "F".repeat(32),
    mrsigner: "dc".repeat(32),
    isvprodid: 2,
    tcbLevels: [{ tcb: { isvsvn: 4 }, tcbDate: "2024-03-13T00:00:00Z", tcbStatus: options.qeStatus ?? "UpToDate" }],
  };
}

function document(name: string, value: unknown, key: TestKey): string {
  // With a space that JSON does not need: the text is what is signed.
  const text = JSON.stringify(value).replace(",", ", ");
  return `{"${name}":${text},"signature":"${raw(key, Buffer.from(text)).toString("hex")}"}`;
}

function raw(key: TestKey, data: Buffer): Buffer {
  return sign("sha256", data, { key: key.privateKey, dsaEncoding: "ieee-p1363" });
}

function rawPoint(key: TestKey): Buffer {
  const { x = "", y = "" } = key.publicKey.export({ format: "jwk" });
  return Buffer.concat([Buffer.from(x, "base64url"), Buffer.from(y, "base64url")]);
}

function u16(n: number): Buffer {
  return Buffer.from([n & 0xff, n >> 8]);
}

function u32(n: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(n);
  return bytes;
}
