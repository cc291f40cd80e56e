import { parentPort } from "node:worker_threads";
import { linuxSyscalls } from "@nacre/kata-sys-util";
import type { FromWorker, ToWorker } from "./unpack/messages.ts";
import { WorkerLayers } from "./unpack/worker-layers.ts";

// The entry of an unpack worker; a bundle of its own in the guest.
const port = parentPort;
if (port === null) throw new Error("unpack-worker runs only as a worker thread");
const layers = new WorkerLayers(linuxSyscalls(), (message: FromWorker, transfer = []) =>
  port.postMessage(message, [...transfer]),
);
port.on("message", (message: ToWorker) => layers.handle(message));
