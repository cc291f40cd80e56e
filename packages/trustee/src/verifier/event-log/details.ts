import { TrusteeError } from "../../error.ts";
import { parseJson } from "../../json.ts";
import { devicePaths } from "./device-path.ts";
import { LittleEndianReader } from "./reader.ts";

/** What an event's data says, member by member as claims show it; nothing where its type has nothing to show. */
export interface EventDetails {
  readonly string?: string;
  readonly unicode_name?: string;
  readonly unicode_name_length?: number;
  readonly variable_data?: string;
  readonly variable_data_length?: number;
  readonly variable_name?: string;
  readonly device_paths?: readonly string[];
  readonly data?: unknown;
}

/** The tag of what a guest measures at run time: "AAEL" (spec guest-components 1.8). */
const AAEL_TAG = 0x4141454c;

const READERS: Readonly<Record<string, (data: Buffer) => EventDetails>> = {
  EV_POST_CODE: plainText,
  EV_ACTION: plainText,
  EV_COMPACT_HASH: plainText,
  EV_OMIT_BOOT_DEVICE_EVENTS: plainText,
  EV_EFI_ACTION: plainText,
  EV_EVENT_TAG: taggedEvent,
  EV_PLATFORM_CONFIG_FLAGS: configFlags,
  EV_IPL: bootLoaderText,
  EV_EFI_VARIABLE_DRIVER_CONFIG: efiVariable,
  EV_EFI_VARIABLE_BOOT: efiVariable,
  EV_EFI_VARIABLE_BOOT2: efiVariable,
  EV_EFI_VARIABLE_AUTHORITY: efiVariable,
  EV_EFI_BOOT_SERVICES_APPLICATION: loadedImage,
  EV_EFI_PLATFORM_FIRMWARE_BLOB2: shortDescription,
  EV_EFI_HANDOFF_TABLES2: shortDescription,
};

/** Throws `evidence` where the data is not what the type has. */
export function eventDetails(typeName: string, data: Buffer): EventDetails {
  return READERS[typeName]?.(data) ?? {};
}

function plainText(data: Buffer): EventDetails {
  return { string: utf8(data) };
}

/** Text with its control characters left out. */
function configFlags(data: Buffer): EventDetails {
  let text = "";
  try {
    text = utf8(data);
  } catch {
    // Firmware may put anything here; what is no text is shown as none.
  }
  return { string: text.replaceAll("\u0010", " ").replaceAll(/\p{Cc}/gu, "") };
}

/** UEFI_PLATFORM_FIRMWARE_BLOB2 and its like begin with the length of a description. */
function shortDescription(data: Buffer): EventDetails {
  const reader = new LittleEndianReader(data, "event data");
  const length = reader.u8();
  // The description's length counts itself in the guests that exist.
  return { string: utf8(reader.take(Math.max(0, length - 1))) };
}

/** What a boot loader measured: text up to a zero, or UTF-16 behind a full stop. */
function bootLoaderText(data: Buffer): EventDetails {
  if (data.length < 2) throw bad("at least 2 bytes");
  if (data[0] === 0x2e && data[1] === 0) {
    const length = data.length - 2;
    if (length === 0 || length % 2 !== 0) throw bad("UTF-16");
    return { string: data.toString("utf16le", 2, Math.max(2, length)) };
  }
  const end = data.indexOf(0);
  try {
    return { string: utf8(end < 0 ? data : data.subarray(0, end)) };
  } catch {
    return { string: data.toString("hex") };
  }
}

/** UEFI_VARIABLE_DATA: vendor, length of the name in characters, length of the data, name, data. */
function efiVariable(data: Buffer): EventDetails {
  const reader = new LittleEndianReader(data, "event data");
  const guid = reader.take(16).toString("hex");
  const nameLength = reader.length64();
  const dataLength = reader.length64();
  return {
    unicode_name: reader.take(nameLength * 2).toString("utf16le"),
    unicode_name_length: nameLength,
    variable_data: reader.take(dataLength).toString("base64"),
    variable_data_length: dataLength,
    variable_name: guid.replace(/^(.{8})(.{4})(.{4})(.{4})/u, "$1-$2-$3-$4-"),
  };
}

/** UEFI_IMAGE_LOAD_EVENT: three addresses and lengths, then the path of what was loaded. */
function loadedImage(data: Buffer): EventDetails {
  const reader = new LittleEndianReader(data, "event data");
  reader.take(24);
  const length = reader.length64();
  return length === 0 ? {} : { device_paths: devicePaths(reader.take(length)) };
}

/** A tag, a length and text; a guest's own is "domain operation content". */
function taggedEvent(data: Buffer): EventDetails {
  const reader = new LittleEndianReader(data, "event data");
  const tag = reader.u32();
  const content = reader.take(reader.u32());
  const string = content.toString("utf8").replaceAll("\0", "");
  if (tag !== AAEL_TAG) return { string };
  const [, domain, operation, rest] = /^([^ ]*) ([^ ]*) ([\s\S]*)$/u.exec(utf8(content)) ?? [];
  if (domain === undefined || operation === undefined || rest === undefined) throw bad("domain, operation and content");
  return { string, unicode_name: "AAEL", data: { domain, operation, content: jsonOrText(rest) } };
}

function jsonOrText(text: string): unknown {
  try {
    return parseJson(text, "event", "evidence");
  } catch {
    return text;
  }
}

function utf8(bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new TrusteeError("evidence", "event data: expected UTF-8", { cause });
  }
}

function bad(expected: string): TrusteeError {
  return new TrusteeError("evidence", `event data: expected ${expected}`);
}
