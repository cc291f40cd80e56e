import { describe, expect, it } from "vitest";

import { agreeOnImage, agreeOnSandbox, isSandbox } from "../src/container-type.ts";

const CRI = "io.kubernetes.cri.container-type";
const CRIO = "io.kubernetes.cri-o.ContainerType";

describe("isSandbox", () => {
  it.each([
    [{}, undefined],
    [{ [CRI]: "sandbox" }, true],
    [{ [CRIO]: "sandbox" }, true],
    [{ [CRI]: "container" }, false],
    [{ [CRIO]: "container" }, false],
    [{ [CRI]: "container", [CRIO]: "sandbox" }, true],
  ])("%j is %s", (annotations, expected) => {
    expect(isSandbox(annotations)).toBe(expected);
  });
});

describe("agreeOnSandbox", () => {
  it.each([
    [{ [CRI]: "sandbox" }, { [CRI]: "sandbox" }, true],
    [{ [CRI]: "container" }, { [CRI]: "container" }, false],
    [{}, {}, false],
    [{}, { [CRI]: "container" }, false],
  ])("%j and %j agree on %s", (metadata, annotations, expected) => {
    expect(agreeOnSandbox(metadata, annotations)).toBe(expected);
  });

  it.each([
    [{ [CRI]: "sandbox" }, { [CRI]: "container" }],
    [{ [CRI]: "sandbox" }, {}],
    [{}, { [CRI]: "sandbox" }],
    [{ [CRI]: "container" }, { [CRI]: "sandbox" }],
  ])("refuses %j with %j", (metadata, annotations) => {
    expect(() => agreeOnSandbox(metadata, annotations)).toThrow(/^container type: the storage says/);
  });
});

describe("agreeOnImage", () => {
  const named = (name: string): Record<string, string> => ({ "io.kubernetes.cri.image-name": name });

  it("takes silence and the same name", () => {
    expect(() => agreeOnImage("r/a:1", {}, named("r/a:1"))).not.toThrow();
  });

  it("refuses another name in either place", () => {
    expect(() => agreeOnImage("r/a:1", named("r/b:1"), {})).toThrow("the storage says r/a:1");
    expect(() => agreeOnImage("r/a:1", {}, { "io.kubernetes.cri-o.ImageName": "r/b:1" })).toThrow("says r/b:1");
  });
});
