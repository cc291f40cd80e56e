export { RegoError, type RegoErrorCode } from "./error.ts";
export { type Deadline, type Evaluation, RegoEngine, type RegoEngineOptions } from "./rego-engine.ts";
export { compileRegorus, type RegorusModule } from "./web-assembly.ts";
