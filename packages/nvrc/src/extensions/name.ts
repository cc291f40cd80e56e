import { NvrcError } from "../error.ts";

/** A name becomes part of paths and of a device's name: a letter of this set, and not dots alone (section 1.6). */
export function checkExtensionName(name: string): string {
  if (/^[A-Za-z0-9_.-]{1,64}$/u.test(name) && !/^\.+$/u.test(name)) return name;
  throw new NvrcError("extension", `extension: expected a name of letters, digits, _ . -, got ${JSON.stringify(name)}`);
}
