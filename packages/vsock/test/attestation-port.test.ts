import { parseKernelCommandLine } from "@nacre/protocols";
import { afterEach, expect, it } from "vitest";

import { attestationPortAddress } from "../src/attestation-port.ts";

const global = globalThis as { NACRE_FLAVOUR?: string };
afterEach(() => {
  delete global.NACRE_FLAVOUR;
});

it.each([
  ["devkit", "", "vsock://-1:1027"],
  ["devkit", "agent.server_addr=unix:///run/vsock/1024.sock", "unix:///run/vsock/1027.sock"],
  ["devkit", "agent.server_addr=tcp://127.0.0.1:1024", undefined],
  ["kata", "", undefined],
  ["strict", "agent.server_addr=unix:///run/vsock/1024.sock", undefined],
  [undefined, "", undefined],
] as const)("a build of %s with the parameters '%s' offers %s", (flavour, line, address) => {
  if (flavour !== undefined) global.NACRE_FLAVOUR = flavour;
  expect(attestationPortAddress(parseKernelCommandLine(line))).toBe(address);
});
