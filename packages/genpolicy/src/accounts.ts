import { GenPolicyError } from "./error.ts";
import type { ImageFacts } from "./images.ts";

/** Who a process is. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
  /** Groups that the image's own file puts the user into. */
  readonly groups: readonly number[];
}

interface User {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

const MAX_ID = 0xffff_fffe;

/**
 * As containerd resolves a user: `NAME|UID[:NAME|GID]`, names by the image's files. A number that has no entry is in
 * group 0. Groups are those that have the user's name among their members. @throws GenPolicyError `image`
 */
export function resolveAccount(user: string, image: Pick<ImageFacts, "passwd" | "group">): Account {
  const [who = "", groupText] = user === "" ? ["0"] : user.split(":", 2);
  const users = parsePasswd(image.passwd ?? "");
  const number = idOf(who);
  // A name that is all digits is looked up first, as in containerd.
  const entry = users.find(({ name, uid }) => name === who || uid === number);
  if (entry === undefined && number === undefined) {
    throw new GenPolicyError("image", `user ${JSON.stringify(who)} is not in the image's /etc/passwd: say runAsUser`);
  }
  const groups = parseGroup(image.group ?? "");
  return {
    uid: entry?.uid ?? number ?? 0,
    gid: groupText === undefined ? (entry?.gid ?? 0) : groupId(groupText, groups),
    groups: groups.filter(({ members }) => entry !== undefined && members.includes(entry.name)).map(({ gid }) => gid),
  };
}

function groupId(text: string, groups: ReturnType<typeof parseGroup>): number {
  const found = groups.find(({ name }) => name === text)?.gid ?? idOf(text);
  if (found === undefined)
    throw new GenPolicyError("image", `group ${JSON.stringify(text)} is not in the image's /etc/group`);
  return found;
}

function parsePasswd(text: string): readonly User[] {
  return text.split("\n").flatMap((line) => {
    const [name = "", , uid = "", gid = ""] = line.trim().split(":");
    const [user, group] = [idOf(uid), idOf(gid)];
    return name === "" || user === undefined || group === undefined ? [] : [{ name, uid: user, gid: group }];
  });
}

function parseGroup(text: string): ReadonlyArray<{ name: string; gid: number; members: readonly string[] }> {
  return text.split("\n").flatMap((line) => {
    const [name = "", , gid = "", members = ""] = line.trim().split(":");
    const id = idOf(gid);
    return name === "" || id === undefined ? [] : [{ name, gid: id, members: members.split(",") }];
  });
}

function idOf(text: string): number | undefined {
  return /^[0-9]{1,10}$/u.test(text) && Number(text) <= MAX_ID ? Number(text) : undefined;
}
