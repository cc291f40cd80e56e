import type { grpc } from "@nacre/protocols";
import { PolicyError } from "./error.ts";

/** The mask and the kinds of `st_mode`. */
const S_IFMT = 0o170000;
const FILE_TYPES: ReadonlyMap<number, string> = new Map([
  [0o100000, "Regular"],
  [0o040000, "Directory"],
  [0o120000, "Symlink"],
]);

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * A CopyFile request without its data: {path, file_type, symlink_target, file_size, file_mode, dir_mode, uid, gid,
 * offset} (section 4.1). The type is that of the whole `S_IFMT` field, anything else than the three is `Unknown`.
 */
export function copyFileInput(request: grpc.CopyFileRequest): string {
  const type = FILE_TYPES.get(request.file_mode & S_IFMT) ?? "Unknown";
  let target = "null";
  if (type === "Symlink") {
    try {
      target = JSON.stringify(strictUtf8.decode(request.data));
    } catch (cause) {
      throw new PolicyError("input", "invalid symlink content", { cause });
    }
  }
  const { path, file_size, file_mode, dir_mode, uid, gid, offset } = request;
  return (
    `{"path":${JSON.stringify(path)},"file_type":"${type}","symlink_target":${target},"file_size":${file_size},` +
    `"file_mode":${file_mode},"dir_mode":${dir_mode},"uid":${uid},"gid":${gid},"offset":${offset}}`
  );
}
