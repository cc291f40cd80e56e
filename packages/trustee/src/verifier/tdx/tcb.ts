import { TrusteeError } from "../../error.ts";
import { FieldReader } from "../../fields.ts";
import type { PckPlatform } from "./pck.ts";
import type { TdBody } from "./quote.ts";

/** How a platform stands to what Intel says is current. `Revoked` is refused before anyone sees it. */
export type TcbStatus =
  | "ConfigurationAndSWHardeningNeeded"
  | "ConfigurationNeeded"
  | "OutOfDate"
  | "OutOfDateConfigurationNeeded"
  | "Revoked"
  | "SWHardeningNeeded"
  | "UpToDate";

const STATUSES: ReadonlySet<string> = new Set<TcbStatus>([
  "ConfigurationAndSWHardeningNeeded",
  "ConfigurationNeeded",
  "OutOfDate",
  "OutOfDateConfigurationNeeded",
  "Revoked",
  "SWHardeningNeeded",
  "UpToDate",
]);

export interface TcbLevel {
  readonly status: TcbStatus;
  readonly date: string;
  readonly advisories: readonly string[];
}

const MAX_LEVELS = 256;
const COMPONENTS = 16;

/**
 * The level of a platform: the first, from the newest on, none of whose versions is above the platform's (Intel PCS v4).
 * `tcbInfo` is Intel's document, its signature checked. Throws `mismatch` where it is for another platform or has no
 * level that low, `collateral` where it cannot be read.
 */
export function platformLevel(tcbInfo: unknown, platform: PckPlatform, body: TdBody): TcbLevel {
  const info = new FieldReader(tcbInfo, "TCB info", "collateral");
  if (info.get("id") !== "TDX") throw info.error("id", "expected TDX");
  if (info.text("fmspc").toLowerCase() !== platform.fmspc || info.text("pceId").toLowerCase() !== platform.pceId) {
    throw new TrusteeError("mismatch", `TCB info: expected one for the platform ${platform.fmspc}`);
  }
  // With a module of its own series, the first two components are the module's and judged by its identity.
  const skip = (body.tcb_svn[1] ?? 0) > 0 ? 2 : 0;
  for (const level of info.list("tcbLevels", MAX_LEVELS)) {
    const reader = new FieldReader(level, "TCB info.tcbLevels", "collateral");
    const tcb = reader.object("tcb");
    const sgx = versions(tcb, "sgxtcbcomponents");
    const tdx = versions(tcb, "tdxtcbcomponents");
    const reached =
      sgx.every((svn, at) => (platform.components[at] ?? 0) >= svn) &&
      BigInt(platform.pceSvn) >= tcb.unsigned("pcesvn", 16) &&
      tdx.every((svn, at) => at < skip || (body.tcb_svn[at] ?? 0) >= svn);
    if (reached) return readLevel(reader);
  }
  throw new TrusteeError("mismatch", "TCB info: the platform is below every level");
}

/** The level of the TDX module, for those that have an identity of their own; else undefined. Throws `mismatch`. */
export function moduleLevel(tcbInfo: unknown, body: TdBody): TcbLevel | undefined {
  const info = new FieldReader(tcbInfo, "TCB info", "collateral");
  const [svn = 0, series = 0] = body.tcb_svn;
  if (series === 0) {
    expectModule(info.object("tdxModule"), body);
    return undefined;
  }
  const id = `TDX_${series.toString(16).padStart(2, "0").toUpperCase()}`;
  for (const identity of info.list("tdxModuleIdentities", MAX_LEVELS)) {
    const reader = new FieldReader(identity, "TCB info.tdxModuleIdentities", "collateral");
    if (reader.get("id") !== id) continue;
    expectModule(reader, body);
    return isvLevel(reader, svn);
  }
  throw new TrusteeError("mismatch", `TCB info: the TDX module's series ${id} is not known`);
}

/** The level of the quoting enclave that signed, by Intel's identity of it. Throws `mismatch`. */
export function enclaveLevel(identity: unknown, qeReport: Buffer): TcbLevel {
  const reader = new FieldReader(identity, "QE identity", "collateral");
  if (reader.get("id") !== "TD_QE") throw reader.error("id", "expected TD_QE");
  const same =
    masked(qeReport.subarray(16, 20), littleEndian(reader, "miscselectMask")).equals(
      littleEndian(reader, "miscselect"),
    ) &&
    masked(qeReport.subarray(48, 64), reader.hex("attributesMask", 16)).equals(reader.hex("attributes", 16)) &&
    qeReport.subarray(128, 160).equals(reader.hex("mrsigner", 32)) &&
    BigInt(qeReport.readUInt16LE(256)) === reader.unsigned("isvprodid", 16);
  if (!same) throw new TrusteeError("mismatch", "TDX quote: expected Intel's quoting enclave");
  return isvLevel(reader, qeReport.readUInt16LE(258));
}

/**
 * The status of the whole: that of the platform, but what is out of date below it makes it so (Intel's verification
 * library converges them thus).
 */
export function converge(platform: TcbStatus, parts: readonly TcbStatus[]): TcbStatus {
  if (platform === "Revoked" || parts.includes("Revoked")) return "Revoked";
  if (!parts.includes("OutOfDate")) return platform;
  const configuration = platform === "ConfigurationNeeded" || platform === "ConfigurationAndSWHardeningNeeded";
  if (configuration) return "OutOfDateConfigurationNeeded";
  return platform === "UpToDate" || platform === "SWHardeningNeeded" ? "OutOfDate" : platform;
}

function expectModule(identity: FieldReader, body: TdBody): void {
  const mask = identity.hex("attributesMask", 8);
  const same =
    body.mrsigner_seam.equals(identity.hex("mrsigner", 48)) &&
    masked(body.seam_attributes, mask).equals(identity.hex("attributes", 8));
  if (!same) throw new TrusteeError("mismatch", "TDX quote: expected Intel's TDX module");
}

function isvLevel(reader: FieldReader, svn: number): TcbLevel {
  for (const level of reader.list("tcbLevels", MAX_LEVELS)) {
    const one = new FieldReader(level, "collateral.tcbLevels", "collateral");
    if (BigInt(svn) >= one.object("tcb").unsigned("isvsvn", 16)) return readLevel(one);
  }
  throw new TrusteeError("mismatch", `collateral: the version ${svn} is below every level`);
}

function readLevel(reader: FieldReader): TcbLevel {
  const status = reader.text("tcbStatus");
  if (!STATUSES.has(status)) throw reader.error("tcbStatus", `expected a known status, got ${JSON.stringify(status)}`);
  const advisories = reader.get("advisoryIDs") === undefined ? [] : reader.list("advisoryIDs", MAX_LEVELS);
  return {
    status: status as TcbStatus,
    date: reader.text("tcbDate"),
    advisories: advisories.filter((id): id is string => typeof id === "string"),
  };
}

function versions(tcb: FieldReader, name: string): readonly number[] {
  const list = tcb.list(name, COMPONENTS);
  if (list.length !== COMPONENTS) throw tcb.error(name, `expected ${COMPONENTS} components, got ${list.length}`);
  return list.map((entry) => Number(new FieldReader(entry, `TCB info.${name}`, "collateral").unsigned("svn", 8)));
}

function masked(value: Buffer, mask: Buffer): Buffer {
  if (value.length !== mask.length)
    throw new TrusteeError("collateral", "collateral: expected a mask as long as its value");
  return Buffer.from(value.map((byte, at) => byte & (mask[at] ?? 0)));
}

/** A number of 32 bits that the document writes in hex, in the report's byte order. */
function littleEndian(reader: FieldReader, name: string): Buffer {
  return Buffer.from(reader.hex(name, 4).toReversed());
}
