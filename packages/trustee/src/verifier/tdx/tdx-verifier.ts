import type { KeyObject } from "node:crypto";

import { TrusteeError } from "../../error.ts";
import { FieldReader, type Fields } from "../../fields.ts";
import { expectReplay, MAX_EVENT_LOG, type MeasuredEvent, parseEventLog } from "../event-log/event-log.ts";
import { expectSame, fit } from "../sample.ts";
import type { Expected, VerifiedClaims, Verifier } from "../verifier.ts";
import { type CollateralSource, type TrustedCollateral, trustCollateral } from "./collateral.ts";
import { parsePck, type PckPlatform } from "./pck.ts";
import { MAX_QUOTE, parseTdQuote, type TdQuote } from "./quote.ts";
import { intelRootKey, verifyQuoteSignatures } from "./quote-signature.ts";
import { converge, enclaveLevel, moduleLevel, platformLevel } from "./tcb.ts";

export interface TdxVerifierOptions {
  /** Unix milliseconds. */
  readonly now: () => number;
  readonly collateral: CollateralSource;
  /** Default: Intel's. */
  readonly root?: KeyObject;
}

/** Evidence of Intel TDX: `quote`, and `cc_eventlog` that must lead to the quote's registers where it is given. */
export class TdxVerifier implements Verifier {
  readonly #options: TdxVerifierOptions;
  readonly #root: KeyObject;

  constructor(options: TdxVerifierOptions) {
    this.#options = options;
    this.#root = options.root ?? intelRootKey();
  }

  async verify(evidence: unknown, expected: Expected): Promise<readonly VerifiedClaims[]> {
    const reader = new FieldReader(evidence, "TDX evidence", "evidence");
    const quote = parseTdQuote(reader.base64("quote", MAX_QUOTE));
    const now = this.#options.now();
    verifyQuoteSignatures(quote, now, this.#root);
    const [pck, issuer] = quote.chain;
    if (pck === undefined || issuer === undefined)
      throw new TrusteeError("evidence", "TDX quote: expected a PCK chain");
    const platform = parsePck(pck);
    const raw = await this.#options.collateral.find(platform.fmspc, platform.authority);
    const collateral = trustCollateral(raw, issuer, this.#root, now);
    expectNotRevoked(quote, collateral);
    const status = tcbClaims(quote, platform, collateral, now);
    expectSame(quote.body.report_data, fit(expected.reportData, 64), "TDX quote: REPORT_DATA");
    expectSame(quote.body.mr_config_id, fit(expected.initDataDigest, 48), "TDX quote: MRCONFIGID");
    const events = readEventLog(reader, quote);
    return [{ teeClass: "cpu", claims: { ...quoteClaims(quote, platform, events), ...status } }];
  }
}

/** Events of the log, checked against the registers; undefined where none was sent. */
function readEventLog(reader: FieldReader, quote: TdQuote): readonly MeasuredEvent[] | undefined {
  const text = reader.optionalText("cc_eventlog");
  if (text === undefined || text === "") return undefined;
  const events = parseEventLog(reader.base64("cc_eventlog", MAX_EVENT_LOG));
  const { rtmr_0, rtmr_1, rtmr_2, rtmr_3 } = quote.body;
  // The log counts a TD's registers from one.
  [rtmr_0, rtmr_1, rtmr_2, rtmr_3].forEach((register, at) => expectReplay(events, at + 1, register));
  return events;
}

function expectNotRevoked(quote: TdQuote, { rootCrl, pckCrl }: TrustedCollateral): void {
  const serials = quote.chain.map(({ serialNumber }) => serialNumber.toLowerCase());
  if (pckCrl.revoked.has(serials[0] ?? "") || serials.slice(1).some((serial) => rootCrl.revoked.has(serial))) {
    throw new TrusteeError("signature", "TDX quote: a certificate of its chain was revoked");
  }
}

/** What Intel's documents say of the platform, under the names that policies read. Throws where it was revoked. */
export function tcbClaims(quote: TdQuote, platform: PckPlatform, collateral: TrustedCollateral, now: number): Fields {
  const level = platformLevel(collateral.tcbInfo, platform, quote.body);
  const module = moduleLevel(collateral.tcbInfo, quote.body);
  const enclave = enclaveLevel(collateral.qeIdentity, quote.qeReport);
  const parts = module === undefined ? [enclave] : [enclave, module];
  const status = converge(
    level.status,
    parts.map((part) => part.status),
  );
  if (status === "Revoked") throw new TrusteeError("signature", "TDX quote: the platform's TCB was revoked");
  const date = (time: number): string => new Date(time).toISOString().replace(".000Z", "Z");
  const evaluation = [collateral.tcbInfo, collateral.qeIdentity].map((document) =>
    Number(new FieldReader(document, "collateral", "collateral").unsigned("tcbEvaluationDataNumber", 32)),
  );
  return {
    tcb_status: status,
    tcb_date: level.date,
    advisory_ids: [...new Set([level, ...parts].flatMap(({ advisories }) => advisories))],
    collateral_expiration_status: Math.min(...collateral.expires) < now ? "1" : "0",
    earliest_issue_date: date(Math.min(...collateral.issued)),
    latest_issue_date: date(Math.max(...collateral.issued)),
    earliest_expiration_date: date(Math.min(...collateral.expires)),
    tcb_eval_num: String(Math.min(...evaluation)),
    pck_crl_num: collateral.pckCrl.number,
    root_ca_crl_num: collateral.rootCrl.number,
  };
}

/** What the quote says (spec trustee 2.5): bytes in hexadecimal, flags by name. */
export function quoteClaims(
  quote: TdQuote,
  platform: PckPlatform,
  events: readonly MeasuredEvent[] | undefined,
): Fields {
  const attributes = quote.body.td_attributes.readBigUInt64LE();
  const flag = (bit: bigint): boolean => ((attributes >> bit) & 1n) === 1n;
  const version = Buffer.from([quote.version, 0]);
  return {
    ...(events === undefined ? {} : { uefi_event_logs: events }),
    quote: {
      header: hexFields({ version, ...quote.header }),
      ...(quote.bodyType === undefined ? {} : { type: quote.bodyType.toString("hex") }),
      ...(quote.bodySize === undefined ? {} : { size: quote.bodySize.toString("hex") }),
      body: hexFields(quote.body),
    },
    td_attributes: {
      debug: flag(0n),
      septve_disable: flag(28n),
      protection_keys: flag(30n),
      key_locker: flag(31n),
      perfmon: flag(63n),
    },
    report_data: quote.body.report_data.toString("hex"),
    init_data: quote.body.mr_config_id.toString("hex"),
    ...(platform.platformInstanceId === undefined ? {} : { platform_instance_id: platform.platformInstanceId }),
  };
}

function hexFields(fields: Readonly<Record<string, Buffer>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(fields).map(([name, bytes]) => [name, bytes.toString("hex")]));
}
