import { parentPort, workerData } from "node:worker_threads";

import type { RelayData, RelayMessage } from "./inspector-port.ts";
import { serveInspector } from "./inspector-session.ts";
import { listenSockets } from "./listen.ts";

// The thread that offers the main thread's debugger; a bundle of its own, in the devkit flavour only.
const tell = (message: RelayMessage): void => parentPort?.postMessage(message, []);
let told = false;
await listenSockets((workerData as RelayData).address, (socket) => {
  serveInspector(socket, () => {
    if (!told) tell("run");
    told = true;
  });
});
tell("listening");
