import { execFileSync } from "node:child_process";
import { join } from "node:path";

import { expect, it } from "vitest";

import { NetworkNamespace } from "../fixtures/network-namespace.ts";

const NETWORK = join(import.meta.dirname, "../../packages/cli/src/guest/network.ts");
const NAME = "nacre-00c0ffee";

/** What the functions of the guest's network say inside a namespace whose mounts, /sys among them, are those outside. */
function inside(network: NetworkNamespace, script: string): string {
  const [program, ...args] = [...network.within, process.execPath, "--conditions=source", "--input-type=module"];
  return execFileSync(program ?? "", [...args, "-e", `import * as net from ${JSON.stringify(NETWORK)};\n${script}`], {
    encoding: "utf8",
  });
}

it("makes and takes away a tap where /sys is another network namespace's", () => {
  using network = new NetworkNamespace();
  const links = (): readonly string[] => {
    const [program, ...args] = network.within;
    const shown = execFileSync(program, [...args, "ip", "-json", "link"], { encoding: "utf8" });
    return (JSON.parse(shown) as Array<{ ifname: string }>).map(({ ifname }) => ifname);
  };
  const made = inside(network, `process.stdout.write(await net.createTap(${JSON.stringify(NAME)}, net.networkAt(7)));`);
  expect(made).toMatch(/^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/u);
  expect(links()).toEqual(["lo", NAME]);
  inside(
    network,
    `await net.disconnectGuest(${JSON.stringify(NAME)}); await net.disconnectGuest(${JSON.stringify(NAME)});`,
  );
  expect(links()).toEqual(["lo"]);
});
