import { formatKbsError, type KbsErrorVariant } from "@nacre/kbs-protocol";

/** A failure as a client is told of it; `cause` is for the log alone (spec trustee 1.1). */
export class KbsFailure extends Error {
  override readonly name: string = "KbsFailure";
  readonly variant: KbsErrorVariant;

  constructor(variant: KbsErrorVariant, detail: string, cause?: unknown) {
    super(detail, { cause });
    this.variant = variant;
  }

  get reply(): { status: 401 | 404; body: string } {
    return formatKbsError(this.variant, this.message);
  }
}
