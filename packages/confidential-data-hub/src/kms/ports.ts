import type { KmsHttp } from "./http.ts";

/** What clients of key management services need of this machine. */
export interface KmsPorts {
  readonly http: KmsHttp;
  readonly now: () => Date;
  /** Where credentials lie: `AWS_IN_GUEST_KEY_PATH` and its like. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Random bytes, for numbers that are used once. */
  readonly random: (bytes: number) => Buffer;
}
