import { execFile } from "node:child_process";
import { closeSync, mkdtempDisposableSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { linuxSyscalls, Socket } from "@nacre/kata-sys-util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { BoundedLogFile } from "../src/bounded-log-file.ts";
import { Log } from "../src/log.ts";
import { Syslog, type SyslogPaths } from "../src/syslog.ts";
import { syslogText } from "../src/syslog-message.ts";
import { Random } from "./random.ts";

const sys = linuxSyscalls();
let folder: ReturnType<typeof mkdtempDisposableSync>;
let paths: SyslogPaths;
let told: string[];

beforeEach(() => {
  folder = mkdtempDisposableSync(join(tmpdir(), "syslog-"));
  const at = (name: string): string => join(folder.path, name);
  paths = { socket: at("log"), file: at("syslog.log"), queueLength: at("qlen") };
  told = [];
});
afterEach(() => {
  folder.remove();
});

const syslog = (level: "off" | "debug" = "off"): Syslog =>
  Syslog.listen(sys, new Log((_priority, text) => told.push(text), level), paths);

/** Sends datagrams as syslog(3) does. */
function send(...messages: readonly (string | Buffer)[]): void {
  const fd = sys.socket(Socket.AF_UNIX, Socket.DGRAM);
  try {
    sys.unixConnect(fd, paths.socket);
    for (const message of messages) sys.sendmsg(fd, Buffer.from(message), []);
  } finally {
    closeSync(fd);
  }
}

const never = new AbortController().signal;

describe("Syslog", () => {
  it("keeps messages without their priority, in a file for root alone", async () => {
    using sink = syslog();
    const last = sink.waitFor("last", never);
    send("<30>Nov 25 01:00:00 nvidia-persistenced: started\n", "", "no priority", "<13>last");
    await last;
    expect(readFileSync(paths.file, "utf8")).toBe(
      "Nov 25 01:00:00 nvidia-persistenced: started\n\nno priority\nlast\n",
    );
    expect((statSync(paths.file).mode & 0o777).toString(8)).toBe("600");
    expect((statSync(paths.socket).mode & 0o777).toString(8)).toBe("666");
  });

  it("tells who waits for a text, and nobody else", async () => {
    using sink = syslog();
    const abandoned = new AbortController();
    const other = sink.waitFor("never said", abandoned.signal);
    const ready = sink.waitFor("Local RPC services initialized", never);
    send("<30>x: Local RPC services initialized");
    await ready;
    abandoned.abort(new Error("120 s are over"));
    await expect(other).rejects.toThrow("120 s are over");
    await expect(sink.waitFor("later", abandoned.signal)).rejects.toThrow("120 s are over");
  });

  it("passes messages on to the log where debugging is asked for, as text", async () => {
    using sink = syslog("debug");
    const done = sink.waitFor("done", never);
    send("<30>one\ntwo\u001b[2J", "done");
    await done;
    expect(told).toEqual(["NVRC one two [2J", "NVRC done"]);
  });

  it("reads all of a flood, in a file with a bound, and makes its sender wait for nothing but the queue", async () => {
    using sink = syslog();
    const done = sink.waitFor("the end", never);
    const line = "x".repeat(4000);
    // A sender of its own, which blocks where the queue is full, as syslog(3) does.
    const program = `
      use Socket; socket(my $s, AF_UNIX, SOCK_DGRAM, 0); connect($s, sockaddr_un($ARGV[0])) or die;
      send($s, "${line} $_", 0) or die for 1..2000; send($s, "the end", 0);`;
    await Promise.all([done, promisify(execFile)("/usr/bin/perl", ["-e", program, paths.socket])]);
    const sizes = [paths.file, `${paths.file}.1`].map((path) => statSync(path).size);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(1024 * 1024);
    expect(readFileSync(paths.file, "latin1")).toContain(`${line} 2000\nthe end\n`);
  });

  it("goes on where the file cannot be written, as in a full /run, and says so once", async () => {
    paths = { ...paths, file: "/dev/full" };
    using sink = Syslog.listen(sys, new Log((_priority, text) => told.push(text), "warn"), paths);
    const done = sink.waitFor("two", never);
    send("one", "two");
    await done;
    const again = sink.waitFor("three", never);
    send("three");
    await again;
    expect(told).toEqual(["NVRC /dev/full cannot be written; messages are lost"]);
  });

  it("ends the boot where it cannot listen, and says where", () => {
    paths = { ...paths, socket: join(folder.path, "no/such/folder") };
    expect(() => syslog()).toThrow(`syslog at ${paths.socket}`);
  });

  it("cuts a longer message to 4096 bytes", async () => {
    using sink = syslog();
    const done = sink.waitFor("done", never);
    send("y".repeat(10_000), "done");
    await done;
    expect(readFileSync(paths.file, "latin1")).toBe(`${"y".repeat(4096)}\ndone\n`);
  });
});

describe("BoundedLogFile", () => {
  it("keeps the newest lines in two files", () => {
    using file = new BoundedLogFile(paths.file, 10);
    for (const line of ["1234", "5678", "9abc", "def0", "last"]) file.append([line]);
    expect(readFileSync(`${paths.file}.1`, "latin1")).toBe("9abc\ndef0\n");
    expect(readFileSync(paths.file, "latin1")).toBe("last\n");
    expect(file.lost).toBe(0);
  });

  it("begins anew, and follows no link", () => {
    writeFileSync(paths.file, "old");
    new BoundedLogFile(paths.file, 10)[Symbol.dispose]();
    expect(readFileSync(paths.file, "latin1")).toBe("");
  });
});

describe("syslogText", () => {
  it("is one line without control characters, for any bytes", () => {
    const random = new Random(7);
    for (let round = 0; round < 5000; round++) {
      const text = syslogText(
        Buffer.concat([Buffer.from(random.pick(["", "<", "<1>", "<30>"])), random.bytes(random.below(40))]),
      );
      expect(text).not.toMatch(/[\0-\x08\x0a-\x1f\x7f]/u);
      expect(text.length).toBeLessThanOrEqual(44);
    }
  });

  it("drops a priority and nothing more", () => {
    expect(syslogText(Buffer.from("<30><b> text"))).toBe("<b> text");
    expect(syslogText(Buffer.from("<not a priority> text"))).toBe("<not a priority> text");
  });
});
