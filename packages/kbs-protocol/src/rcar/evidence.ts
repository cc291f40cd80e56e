/**
 * The forms of evidence, as JSON has them (guest-components, `attester`; Trustee, `verifier`). Byte strings are base64
 * (standard, padded) unless said otherwise; integers may be a bigint beyond 2^53.
 */
export interface SampleEvidence {
  readonly svn: string;
  readonly report_data: string;
}

export type Integer = bigint | number;
/** Bytes as an array of numbers. */
export type ByteArray = readonly number[];

export interface SnpTcb {
  /** Turin has it. */
  readonly fmc: number | null;
  readonly bootloader: number;
  readonly tee: number;
  readonly snp: number;
  readonly microcode: number;
}

export interface SnpVersion {
  readonly major: number;
  readonly minor: number;
  readonly build: number;
}

/** AMD's attestation report, taken apart (the serialised form of the crate `sev` 6.3). */
export interface SnpReport {
  readonly version: number;
  readonly guest_svn: number;
  readonly policy: Integer;
  readonly family_id: ByteArray;
  readonly image_id: ByteArray;
  readonly vmpl: number;
  readonly sig_algo: number;
  readonly current_tcb: SnpTcb;
  readonly plat_info: Integer;
  readonly key_info: number;
  readonly report_data: ByteArray;
  readonly measurement: ByteArray;
  readonly host_data: ByteArray;
  readonly id_key_digest: ByteArray;
  readonly author_key_digest: ByteArray;
  readonly report_id: ByteArray;
  readonly report_id_ma: ByteArray;
  readonly reported_tcb: SnpTcb;
  /** From version 3 on. */
  readonly cpuid_fam_id: number | null;
  readonly cpuid_mod_id: number | null;
  readonly cpuid_step: number | null;
  readonly chip_id: ByteArray;
  readonly committed_tcb: SnpTcb;
  readonly current: SnpVersion;
  readonly committed: SnpVersion;
  readonly launch_tcb: SnpTcb;
  /** From version 5 on; older peers leave both out. */
  readonly launch_mit_vector?: Integer | null;
  readonly current_mit_vector?: Integer | null;
  /** Little-endian, 72 bytes each. */
  readonly signature: { readonly r: ByteArray; readonly s: ByteArray };
}

/** Kinds of certificates of the host's table. */
export type SnpCertificateType = "ARK" | "ASK" | "CRL" | "Empty" | "VCEK" | "VLEK" | { readonly OTHER: string };

export interface SnpEvidence {
  readonly attestation_report: SnpReport;
  readonly cert_chain: readonly { readonly cert_type: SnpCertificateType; readonly data: ByteArray }[] | null;
}

export interface TdxEvidence {
  readonly cc_eventlog: string | null;
  readonly quote: string;
}

export interface SgxEvidence {
  readonly quote: string;
}

export interface CcaEvidence {
  readonly token: ByteArray;
}

/** `signature` and `message` are TPM structures as marshalled; `pcrs` are 24 SHA-256 values in hex. */
export interface TpmQuote {
  readonly signature: string;
  readonly message: string;
  readonly pcrs: readonly string[];
}

export interface TpmEvidence {
  readonly tpm_quote: TpmQuote;
  /** SPKI in DER. */
  readonly ak_public: string;
}

/** Signature and message are hex here; the report and the certificate are base64url with padding. */
export interface AzSnpVtpmEvidence {
  readonly version: number;
  readonly tpm_quote: TpmQuote;
  readonly hcl_report: string;
  readonly vcek: string;
}

export interface AzTdxVtpmEvidence {
  readonly version: number;
  readonly tpm_quote: TpmQuote;
  readonly hcl_report: string;
  readonly td_quote: string;
}

export type NvidiaArchitecture = "BLACKWELL" | "HOPPER" | "LS10";

export interface NvidiaEvidence {
  readonly device_evidence_list: readonly {
    readonly arch: NvidiaArchitecture;
    readonly uuid: string;
    /** SPDM request and response. */
    readonly evidence: string;
    /** PEM, leaf first. */
    readonly certificate: string;
  }[];
}
