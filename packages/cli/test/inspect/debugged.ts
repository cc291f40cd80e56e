import { parseKernelCommandLine } from "@nacre/protocols";
import { offerInspector } from "@nacre/vsock/inspector-port";

// A daemon for the debugger's tests: it counts while it runs, and tells what it has counted.
await offerInspector("kata-agent", parseKernelCommandLine(process.argv[2] ?? ""));
const state = { rounds: 0 };
Object.assign(globalThis, { state });
setInterval(() => (state.rounds += 1), 1);
process.stdout.write("runs\n");
