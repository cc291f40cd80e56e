import { describe, expect, it } from "vitest";
import type { StoredLayer } from "../src/layer-store.ts";
import { stack } from "../src/overlay.ts";

const layer = (diffId: string, opaqueRoot = false): StoredLayer => ({ diffId, files: `/${diffId}`, opaqueRoot });
const order = (...layers: StoredLayer[]): string =>
  stack(layers)
    .map(({ diffId }) => diffId)
    .join("");

describe("stack", () => {
  it("has the top first", () => {
    expect(order(layer("a"), layer("b"), layer("c"))).toBe("cba");
  });

  it("keeps the upper one of equal layers", () => {
    expect(order(layer("a"), layer("b"), layer("a"), layer("c"), layer("b"))).toBe("bca");
  });

  it("ends with a layer that hides all below", () => {
    expect(order(layer("a"), layer("b", true), layer("c"))).toBe("cb");
    expect(order(layer("a", true), layer("b"), layer("a", true))).toBe("a");
  });
});
