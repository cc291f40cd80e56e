import { expect, it } from "vitest";
import { Code, codeName } from "../src/index.ts";

it("codes have names, and other numbers a description", () => {
  expect(codeName(Code.PERMISSION_DENIED)).toBe("PERMISSION_DENIED");
  expect(codeName(16)).toBe("UNAUTHENTICATED");
  expect(codeName(99)).toBe("CODE_99");
  expect(Object.values(Code)).toEqual(Array.from({ length: 17 }, (_, n) => n));
});
