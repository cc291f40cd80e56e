/** Whether /proc/filesystems lists a type: lines of a type, some after `nodev` and a tab. */
export function hasFileSystem(procFilesystems: string, type: string): boolean {
  return procFilesystems.split("\n").some((line) => line.split(/\s+/u).findLast((word) => word !== "") === type);
}
