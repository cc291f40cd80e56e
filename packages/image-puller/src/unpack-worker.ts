import { parentPort } from "node:worker_threads";
import { gzipSync } from "node:zlib";
import { At, linuxSyscalls } from "@nacre/kata-sys-util";
import { TarParser } from "./tar/parser.ts";
import { createDecompressor } from "./unpack/decompress.ts";
import type { FromWorker, ToWorker } from "./unpack/messages.ts";
import { WorkerLayers } from "./unpack/worker-layers.ts";

// The entry of an unpack worker; a bundle of its own in the guest.
const port = parentPort;
if (port === null) throw new Error("unpack-worker runs only as a worker thread");
const sys = linuxSyscalls();
const layers = new WorkerLayers(sys, (message: FromWorker, transfer = []) => port.postMessage(message, [...transfer]));
port.on("message", (message: ToWorker) => layers.handle(message));

// The thread starts ahead of its first layer. What that layer would have to wait for is done now: the native library is
// loaded, and the way through zlib and the parser has been gone once.
sys.statx(At.FDCWD, "/");
const parser = new TarParser({ entry: () => undefined, data: () => undefined, end: () => undefined });
const input = createDecompressor("gzip", (chunk) => parser.push(chunk));
await input.write(gzipSync(Buffer.alloc(1024)));
await input.end();
