import { readFileSync } from "node:fs";

import { hasCode } from "@nacre/kata-sys-util";

import { NvrcError } from "../error.ts";
import { checkExtensionName } from "./name.ts";
import { parseVerityParams, type VerityParams } from "./verity-params.ts";

/** Which extensions the base image accepts: part of its measured root. */
export const PINS_FILE = "/etc/nacre/extensions.json";

/** Accepted parameters by name. */
export type ExtensionPins = ReadonlyMap<string, readonly VerityParams[]>;

/** The pins of this image; a base without the file accepts no extension. */
export function readPins(path: string = PINS_FILE): ExtensionPins {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return new Map();
    throw new NvrcError("extension", `read ${path}`, { cause: error });
  }
  return parsePins(text, path);
}

/**
 * Parses `{"schema_version": 1, "extensions": {"<name>": ["root_hash=…,salt=…,…", …]}}`, each text as in Kata's root
 * hash file. Unknown keys are refused.
 */
export function parsePins(text: string, path: string = PINS_FILE): ExtensionPins {
  const refuse = (expected: string): never => {
    throw new NvrcError("extension", `${path}: expected ${expected}`);
  };
  const file = parseJson(text, path);
  if (!isRecord(file)) return refuse("an object");
  for (const key of Object.keys(file)) {
    if (key !== "schema_version" && key !== "extensions") refuse(`no key ${JSON.stringify(key)}`);
  }
  if (file["schema_version"] !== 1) refuse("schema_version 1");
  const extensions = file["extensions"];
  if (!isRecord(extensions)) return refuse("extensions to be an object");
  return new Map(
    Object.entries(extensions).map(([name, accepted]) => {
      checkExtensionName(name);
      if (!Array.isArray(accepted)) return refuse(`extensions.${name} to be a list`);
      const params = accepted.map((one: unknown) =>
        typeof one === "string" ? parseVerityParams(one, `${path}: ${name}`) : refuse(`texts in extensions.${name}`),
      );
      return [name, params] as const;
    }),
  );
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new NvrcError("extension", `${path}: expected JSON`, { cause });
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
