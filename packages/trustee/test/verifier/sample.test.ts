import { describe, expect, it } from "vitest";

import { sampleDeviceVerifier, sampleVerifier } from "../../src/index.ts";

const reportData = Buffer.alloc(48, 1);
const evidence = { svn: "1", report_data: reportData.toString("base64") };

describe("sample evidence", () => {
  it("has the claims that policies of tests read", async () => {
    expect(await sampleVerifier.verify(evidence, { reportData })).toEqual([
      {
        teeClass: "cpu",
        claims: { ...evidence, launch_digest: "abcde", platform_version: { major: 1, minor: 4 }, debug: false },
      },
    ]);
    expect(await sampleDeviceVerifier.verify(evidence, { reportData })).toEqual([
      { teeClass: "gpu", claims: evidence },
    ]);
  });

  it("echoes the digest of initdata", async () => {
    const [verified] = await sampleVerifier.verify(evidence, { initDataDigest: Buffer.from("ab") });
    expect(verified?.claims["init_data"]).toBe("YWI=");
  });

  it.each([
    ["other report data", { reportData: Buffer.alloc(48) }],
    [
      "report data of another length: nothing is filled up",
      { reportData: Buffer.concat([reportData, Buffer.alloc(16)]) },
    ],
  ])("is refused for %s", async (_, expected) => {
    await expect(sampleVerifier.verify(evidence, expected)).rejects.toMatchObject({ code: "mismatch" });
  });

  it.each([
    [null],
    ["text"],
    [[]],
    [{}],
    [{ svn: 1, report_data: "" }],
    [{ svn: "1" }],
    [{ svn: "1", report_data: "!" }],
    [{ svn: "1", report_data: "YQ==YQ==" }],
    [{ svn: "1", report_data: "YR==" }],
  ])("is refused as %j", async (value) => {
    await expect(sampleVerifier.verify(value, {})).rejects.toMatchObject({ code: "evidence" });
  });
});
