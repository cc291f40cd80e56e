import { NacreError } from "../error.ts";

/** What dm-verity is opened with, as Kata's image builder writes it down. */
const FIELDS = ["root_hash", "salt", "data_blocks", "data_block_size", "hash_block_size"] as const;
/** Block sizes are multiples of this (dm-verity counts in sectors). */
const SECTOR = 512;
const MAX_TEXT = 4096;

/**
 * Reads a root hash file (`root_hash=…,salt=…,…`) and gives back its one line, which the runtime takes as
 * kernel_verity_params. Stricter than the runtime: unknown and repeated fields are refused. Throws NacreError `input`.
 */
export function parseRootHash(text: string, path: string): string {
  const bad = (what: string): NacreError => new NacreError("input", `root hash file ${path}: ${what}`);
  const line = text.trim();
  if (text.length > MAX_TEXT || line.includes("\n")) throw bad("expected one line");
  const values = new Map<string, string>();
  for (const field of line.split(",")) {
    const [, key = "", value = ""] = /^([a-z_]+)=([0-9a-z]+)$/u.exec(field) ?? [];
    if (!FIELDS.some((name) => name === key)) throw bad(`expected ${FIELDS.join(", ")}, got ${JSON.stringify(field)}`);
    if (values.has(key)) throw bad(`expected ${key} once`);
    values.set(key, value);
  }
  for (const name of FIELDS) if (!values.has(name)) throw bad(`expected ${name}, which is missing`);
  if (!/^[0-9a-f]{64}$/u.test(values.get("root_hash") ?? "")) throw bad("root_hash: expected 64 hexadecimal digits");
  if (!/^(?:[0-9a-f]{2}){1,256}$/u.test(values.get("salt") ?? ""))
    throw bad("salt: expected whole bytes in hexadecimal");
  for (const name of ["data_blocks", "data_block_size", "hash_block_size"] as const) {
    const count = /^\d{1,15}$/u.test(values.get(name) ?? "") ? Number(values.get(name)) : 0;
    if (count === 0) throw bad(`${name}: expected a whole number above 0, got ${values.get(name)}`);
    if (name !== "data_blocks" && count % SECTOR !== 0) throw bad(`${name}: expected a multiple of ${SECTOR}`);
  }
  return line;
}
