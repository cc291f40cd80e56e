import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { type Definitions, loadDefinitions } from "../scripts/definitions.ts";
import { renderDescriptor, renderInterfaces } from "../scripts/render.ts";

it("src/gen is what protos/ give", () => {
  const script = resolve(import.meta.dirname, "../scripts/generate.ts");
  const { status, stderr } = spawnSync(process.execPath, [script, "--check"], { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(status).toBe(0);
});

describe("the generator", () => {
  const folders: string[] = [];
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
  });

  /** Loads one .proto file in a folder of its own. */
  function load(body: string): Definitions {
    const root = mkdtempSync(join(tmpdir(), "nacre-protos-"));
    folders.push(root);
    mkdirSync(join(root, "one"));
    writeFileSync(join(root, "one", "one.proto"), `syntax = "proto3";\npackage p;\n${body}`);
    return loadDefinitions(root);
  }

  it("finds nested types, oneofs, optional fields and maps", () => {
    const d = load(`
      message Outer { string text = 1; }
      message M {
        message Inner { bool nested = 1; }
        enum E { A = 0; B = 5; }
        Inner near = 1;
        .p.Outer far = 2;
        optional E e = 3;
        oneof choice { string s = 4; M m = 5; }
        map<string, Inner> map = 6;
        repeated int64 list = 7;
      }`);
    expect(renderInterfaces(d, "p", new Map([["p", "p"]]))).toContain(
      "export interface M {\n  near: M_Inner | null;\n  far: Outer | null;\n  e: M_E | null;\n  s: string | null;\n" +
        "  m: M | null;\n  map: Record<string, M_Inner>;\n  list: bigint[];\n}",
    );
    const descriptor = renderDescriptor(d);
    for (const row of [
      '[1,"near","p.M.Inner"]',
      '[2,"far","p.Outer"]',
      '[3,"e","p.M.E","optional"]',
      '[5,"m","p.M","oneof","choice"]',
      '[6,"map","p.M.Inner","map"]',
      '[7,"list","int64","repeated"]',
      '"p.M.E": {"A":0,"B":5}',
    ]) {
      expect(descriptor).toContain(row);
    }
  });

  it.each([
    ["message M { double d = 1; }", "p.M.d: TYPE_DOUBLE unsupported"],
    ["message M { sint32 s = 1; }", "p.M.s: TYPE_SINT32 unsupported"],
    ["message A { } message M { message A { } A a = 1; }", "p.M: A may be p.M.A or p.A; give one another name"],
    ["message M { map<int32, string> m = 1; }", "p.M.m: only maps with string keys are supported"],
  ])("refuses %s", (body, text) => {
    expect(() => load(body)).toThrow(text);
  });
});
