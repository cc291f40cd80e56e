import { closeSync, existsSync, openSync, readFileSync } from "node:fs";

import { describeError } from "../error.ts";
import { runTool } from "../guest/tool.ts";
import type { Probes } from "./diagnose.ts";

/** The machine that we run on. */
export function systemProbes(): Probes {
  return {
    uid: () => process.getuid?.() ?? -1,
    exists: existsSync,
    read(path) {
      try {
        return readFileSync(path, "utf8");
      } catch {
        return undefined;
      }
    },
    opens(path) {
      try {
        closeSync(openSync(path, "r+"));
        return true;
      } catch {
        return false;
      }
    },
    async attempt(argv) {
      try {
        await runTool(argv);
        return undefined;
      } catch (error) {
        return describeError(error);
      }
    },
  };
}
