import { describe, expect, it } from "vitest";

import { importsOf, layers, readPackages, violations, type PackageFacts } from "./import-graph.ts";

const folder = new URL("../../packages", import.meta.url).pathname;

function facts(name: string, specifiers: readonly string[], listed: Partial<PackageFacts> = {}): PackageFacts {
  const packages = specifiers.filter((specifier) => !specifier.startsWith(".") && !specifier.startsWith("node:"));
  return {
    name,
    dependencies: packages,
    references: packages.filter((specifier) => layers.has(specifier)),
    imports: specifiers.map((specifier) => ({ file: "src/a/b.ts", specifier })),
    ...listed,
  };
}

describe("the packages", () => {
  const packages = readPackages(folder);

  it("are found with their imports", () => {
    expect(packages.map(({ name }) => name)).toEqual(expect.arrayContaining(["@nacre/protocols", "@nacre/kata-agent"]));
    expect(packages.flatMap(({ imports }) => imports).length).toBeGreaterThan(100);
    expect(packages.find(({ name }) => name === "@nacre/kata-sys-util")?.imports).toContainEqual({
      file: "src/native.ts",
      specifier: "koffi",
    });
  });

  it("keep to their layers", () => {
    expect(violations(packages)).toEqual([]);
  });
});

describe("the check", () => {
  it.each([
    ["a lower layer", facts("@nacre/kata-agent", ["@nacre/vsock", "oci-client", "smol-toml", "node:fs"])],
    ["named siblings", facts("@nacre/image-puller", ["@nacre/kata-sys-util", "oci-client"])],
    ["its own files", facts("@nacre/ttrpc", ["./c.ts", "../d.ts", "node:events"])],
  ])("allows %s", (_, one) => {
    expect(violations([one])).toEqual([]);
  });

  it.each([
    ["a higher layer", facts("@nacre/ttrpc", ["@nacre/vsock"]), "names @nacre/vsock, which is above it"],
    ["a sibling", facts("@nacre/kata-agent", ["@nacre/nvrc"]), "names @nacre/nvrc, which is a sibling (layer 3 and 3)"],
    ["a sibling the other way", facts("@nacre/kata-sys-util", ["@nacre/vsock"]), "which is a sibling"],
    ["I/O below layer 2", facts("oci-client", ["node:https"]), "imports node:https: layers 0 to 1 do no I/O"],
    ["I/O by its bare name", facts("@nacre/protocols", ["fs/promises"]), "imports fs/promises: layers 0 to 1"],
    ["koffi elsewhere", facts("@nacre/vsock", ["koffi"]), "imports koffi: only @nacre/kata-sys-util may"],
    ["files of a neighbour", facts("@nacre/vsock", ["../../../ttrpc/src/x.ts"]), "which is outside its src"],
    ["an unlisted package", facts("@nacre/cli", ["x/y"], { dependencies: [] }), "imports x, which package.json"],
    [
      "a missing reference",
      facts("@nacre/cli", ["@nacre/ttrpc"], { references: [] }),
      "imports @nacre/ttrpc, which tsconfig.json does not refer to",
    ],
    [
      "a dependency upwards that nothing imports",
      facts("@nacre/ttrpc", [], { dependencies: ["@nacre/cli"] }),
      "package.json names @nacre/cli, which is above it",
    ],
    [
      "a reference upwards that nothing imports",
      facts("@nacre/ttrpc", [], { references: ["@nacre/cli"] }),
      "tsconfig.json names @nacre/cli, which is above it",
    ],
    ["a package without a layer", facts("@nacre/base", []), "expected a package of the layer table"],
  ])("refuses %s", (_, one, message) => {
    expect(violations([one]).join("\n")).toContain(message);
  });

  it("sees every way to name a module", () => {
    const source = `
      import a, { b } from "a";
      import type { c } from 'c';
      import "d";
      export * from "e";
      export {
        f,
      } from "f";
      const g = await import("g");
      const h = require("h");
      // import x from "no-1";
      /* import x from "no-2"; */
      const text = 'it comes from "no-3"';
    `;
    expect(new Set(importsOf(source))).toEqual(new Set(["a", "c", "d", "e", "f", "g", "h"]));
  });
});
