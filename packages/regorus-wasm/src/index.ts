export { RegoError, type RegoErrorCode } from "./error.ts";
export type { CallOptions } from "./instance.ts";
export { type Evaluation, RegoEngine, type RegoEngineOptions } from "./rego-engine.ts";
export { RegoMachine } from "./rego-machine.ts";
export { compileRegorus, type RegorusModule } from "./web-assembly.ts";
