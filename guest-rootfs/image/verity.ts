import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, statSync } from "node:fs";
import { pipeline } from "node:stream/promises";

const VERITYSETUP = "/usr/sbin/veritysetup";
export const BLOCK_SIZE = 4096;
export const SECTOR_SIZE = 512;

/** What opens a dm-verity device, beside the devices themselves; Kata's five parameters. */
export interface VerityParams {
  /** Hex. */
  readonly rootHash: string;
  readonly salt: string;
  readonly dataBlocks: number;
  readonly dataBlockSize: number;
  readonly hashBlockSize: number;
}

/**
 * Writes the hash tree of `data` to `tree`, without a superblock, as Kata's image builder does. The salt follows from
 * the data, so that the same root gives the same image; a salt needs not be secret.
 */
export async function formatVerity(data: string, tree: string): Promise<VerityParams> {
  const { size } = statSync(data);
  if (size === 0 || size % BLOCK_SIZE !== 0)
    throw new Error(`${data}: expected whole blocks of ${BLOCK_SIZE}, got ${size} bytes`);
  const hash = createHash("sha256").update("nacre dm-verity salt\0");
  await pipeline(createReadStream(data), hash);
  const salt = hash.digest("hex");
  const dataBlocks = size / BLOCK_SIZE;
  const options = [
    "--no-superblock",
    "--hash=sha256",
    `--data-block-size=${BLOCK_SIZE}`,
    `--hash-block-size=${BLOCK_SIZE}`,
    `--data-blocks=${dataBlocks}`,
    `--salt=${salt}`,
  ];
  const text = execFileSync(VERITYSETUP, ["format", ...options, data, tree], { encoding: "utf8" });
  const rootHash = /^Root hash:\s+([0-9a-f]{64})$/mu.exec(text)?.[1];
  if (rootHash === undefined) throw new Error(`veritysetup format ${data}: expected a root hash, got ${text}`);
  return { rootHash, salt, dataBlocks, dataBlockSize: BLOCK_SIZE, hashBlockSize: BLOCK_SIZE };
}

/** Kata's text for its root hash files and for extensions' verity_params. */
export function verityParamsText(params: VerityParams): string {
  const { rootHash, salt, dataBlocks, dataBlockSize, hashBlockSize } = params;
  return (
    `root_hash=${rootHash},salt=${salt},data_blocks=${dataBlocks},` +
    `data_block_size=${dataBlockSize},hash_block_size=${hashBlockSize}`
  );
}

/** The format's version, which is the first argument of the kernel's target. */
const HASH_TYPE = "1";

/** The arguments of the kernel's target but for the two devices: what the root is, wherever it lies. */
export function verityTreeArguments(params: VerityParams): string {
  return `${HASH_TYPE} ${treeArguments(params)}`;
}

function treeArguments({ rootHash, salt, dataBlocks, dataBlockSize, hashBlockSize }: VerityParams): string {
  return `${dataBlockSize} ${hashBlockSize} ${dataBlocks} 0 sha256 ${rootHash} ${salt}`;
}

/** The parameters by which Kata's runtime makes a kernel open the root: dm-mod.create and what follows it. */
export function verityRootParams(params: VerityParams, data = "/dev/vda1", tree = "/dev/vda2"): string {
  const sectors = (params.dataBlocks * params.dataBlockSize) / SECTOR_SIZE;
  const table = `verity ${HASH_TYPE} ${data} ${tree} ${treeArguments(params)}`;
  return `dm-mod.create="dm-verity,,,ro,0 ${sectors} ${table}" root=/dev/dm-0 rootflags=ro rootfstype=erofs`;
}
