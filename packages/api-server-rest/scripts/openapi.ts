import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { openApiText } from "../src/openapi.ts";

/** Writes gen/openapi.json; a test compares it. */
writeFileSync(join(import.meta.dirname, "../gen/openapi.json"), openApiText());
