import { Health } from "@nacre/protocols";
import { TtrpcServer } from "@nacre/ttrpc";
import { listen } from "@nacre/vsock";

// The measured process: Health.Check as the agent answers it, at the address given.
const server = new TtrpcServer().addService(Health, { Check: () => ({ status: 1 }) });
await listen(process.argv[2] ?? "", (transport) => server.serve(transport));
process.stdout.write('{"event":"listening"}\n');
