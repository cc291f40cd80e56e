import { setFlagsFromString } from "node:v8";

/**
 * For a daemon that is idle nearly always: no middle compiler, whose code and threads are memory; the optimising one
 * stays. Called before anything runs often. Given on the command line the flag would have V8 refuse the compiled code
 * that Node carries of its own modules, which costs each start a fifth of its time.
 */
export function withoutMiddleCompiler(): void {
  setFlagsFromString("--no-maglev");
}
