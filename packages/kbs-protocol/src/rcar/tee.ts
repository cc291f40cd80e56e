/** Kinds of evidence by their names on the wire (kbs-types 0.18). */
export const TEES = [
  "az-snp-vtpm",
  "az-tdx-vtpm",
  "cca",
  "csv",
  "hygondcu",
  "nvidia",
  "nvidia-dpu",
  "sample",
  "sampledevice",
  "se",
  "sgx",
  "snp",
  "tdx",
  "tpm",
] as const;
export type Tee = (typeof TEES)[number];

/** Undefined for a name that nobody knows. `nvidiadpu` is how older peers write `nvidia-dpu`. */
export function parseTee(name: string): Tee | undefined {
  return TEES.find((tee) => tee === (name === "nvidiadpu" ? "nvidia-dpu" : name));
}
