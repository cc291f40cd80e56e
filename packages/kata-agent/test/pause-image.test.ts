import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { copyPauseImage, parsePauseConfig, pauseProcessTree, readPauseProcess } from "../src/pause-image.ts";

let base: string;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "nacre-pause-"));
});

afterEach(() => {
  rmSync(base, { recursive: true });
});

const config = JSON.stringify({
  process: { user: { uid: 65535, gid: 65535 }, args: ["/pause"], env: ["PATH=/bin"], cwd: "/" },
});

describe("the pause image", () => {
  it("is copied into the container's root with its mode", async () => {
    const pause = join(base, "pause_bundle");
    const bundle = join(base, "c1");
    mkdirSync(join(pause, "rootfs"), { recursive: true });
    mkdirSync(bundle);
    writeFileSync(join(pause, "config.json"), config);
    writeFileSync(join(pause, "rootfs/pause"), "program", { mode: 0o755 });
    await copyPauseImage(bundle, pause);
    expect(readFileSync(join(bundle, "rootfs/pause"), "utf8")).toBe("program");
    expect(statSync(join(bundle, "rootfs/pause")).mode & 0o777).toBe(0o755);
  });

  it("is missed with the recorded text", async () => {
    const missing = { code: 13, message: "Pause image not present in rootfs" };
    await expect(readPauseProcess(join(base, "none"))).rejects.toMatchObject(missing);
    mkdirSync(join(base, "empty"));
    writeFileSync(join(base, "empty/config.json"), config);
    await expect(copyPauseImage(join(base, "c2"), join(base, "empty"))).rejects.toMatchObject(missing);
  });

  it("brings the process that runs, whatever the host sent", () => {
    const tree = pauseProcessTree(parsePauseConfig(config), null);
    expect(tree).toMatchObject({
      Args: ["/pause"],
      Env: ["PATH=/bin"],
      User: { UID: 65535, GID: 65535 },
      Capabilities: null,
      NoNewPrivileges: true,
      Terminal: false,
    });
  });

  it.each(["", "{}", '{"process":{"args":[]}}', '{"process":{"args":["pause"]}}', '{"process":{"args":["/a/../b"]}}'])(
    "refuses the configuration %j",
    (text) => {
      expect(() => parsePauseConfig(text)).toThrow(/^pause bundle/);
    },
  );
});
