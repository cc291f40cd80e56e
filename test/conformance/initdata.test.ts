import { readFileSync } from "node:fs";
import { join } from "node:path";

import { parseInitdata, readInitdataImage, writeInitdataImage } from "@nacre/kbs-protocol";
import { expect, it } from "vitest";

import { vectors } from "../setup/data.ts";

const folder = vectors("initdata");
const image = async (): Promise<Buffer> =>
  folder === undefined ? writeInitdataImage(Buffer.from("some content")) : readFileSync(join(folder, "initdata.img"));

it("reads upstream's initdata image, which holds no document", async () => {
  const content = await readInitdataImage(await image());
  expect(content.toString()).toBe("some content");
  expect(() => parseInitdata(content)).toThrow("initdata: expected TOML, got none at line 1, column");
});
