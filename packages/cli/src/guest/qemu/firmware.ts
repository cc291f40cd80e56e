import { copyFileSync, existsSync } from "node:fs";

import { NacreError } from "../../error.ts";

/** Of Debian's package ovmf: without secure boot, and variables to begin with. */
const CODE = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const VARIABLES = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/** The firmware's code, which guests share; a machine's variables are written to `variables`. Throws `environment`. */
export function freshFirmware(variables: string): string {
  for (const path of [CODE, VARIABLES]) {
    if (!existsSync(path)) throw new NacreError("environment", `expected ${path}: apt-get install ovmf`);
  }
  copyFileSync(VARIABLES, variables);
  return CODE;
}
