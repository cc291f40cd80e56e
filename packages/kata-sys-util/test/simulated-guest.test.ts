import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, expect, it } from "vitest";

import { mayUseUnboundInitdata } from "../src/index.ts";

const global = globalThis as { NACRE_FLAVOUR?: string };
afterEach(() => {
  delete global.NACRE_FLAVOUR;
});

it.each([
  [undefined, false, true],
  ["devkit", true, true],
  ["devkit", false, false],
  ["kata", true, false],
  ["strict", true, false],
] as const)(
  "a build of %s, with the file of simulated guests: %s, may use unbound initdata: %s",
  (flavour, has, may) => {
    if (flavour !== undefined) global.NACRE_FLAVOUR = flavour;
    expect(mayUseUnboundInitdata(has ? tmpdir() : join(tmpdir(), "nacre-no-such-file"))).toBe(may);
  },
);
