/** Reference values by the names that Trustee's default policies ask for; each is a list of what is accepted. */
export type ReferenceValues = Readonly<Record<string, readonly string[]>>;

/** A message for RVPS (`RegisterReferenceValue`, or POST /kbs/v0/reference-value), of its extractor `sample`. */
export interface RvpsMessage {
  readonly version: "0.1.0";
  readonly type: "sample";
  /** Base64 of the values as JSON. */
  readonly payload: string;
}

export function rvpsMessage(values: ReferenceValues): RvpsMessage {
  return { version: "0.1.0", type: "sample", payload: Buffer.from(JSON.stringify(values)).toString("base64") };
}
