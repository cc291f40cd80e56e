import { invalidArgument } from "../error.ts";
import { SECCOMP_ACTIONS, SECCOMP_ARCHITECTURES, SECCOMP_FLAGS, SECCOMP_OPERATORS } from "./oci-names.ts";
import type { SeccompTree } from "./tree.ts";

/**
 * `linux.seccomp` of the OCI runtime specification. A word that is not in the tables is refused by name; system calls
 * that this kernel or library does not know are left to the runtime, which skips them (spec 3.8).
 */
export function convertSeccomp(tree: SeccompTree): object {
  const known = (kind: string, table: ReadonlySet<string>, name: string): string => {
    if (!table.has(name)) throw invalidArgument(`unknown seccomp ${kind} ${name}`);
    return name;
  };
  return {
    defaultAction: known("action", SECCOMP_ACTIONS, tree.DefaultAction),
    ...(tree.Architectures.length > 0
      ? { architectures: tree.Architectures.map((name) => known("architecture", SECCOMP_ARCHITECTURES, name)) }
      : {}),
    ...(tree.Flags.length > 0 ? { flags: tree.Flags.map((name) => known("flag", SECCOMP_FLAGS, name)) } : {}),
    ...(tree.Syscalls.length > 0
      ? {
          syscalls: tree.Syscalls.map((call) => ({
            names: call.Names,
            action: known("action", SECCOMP_ACTIONS, call.Action),
            ...(call.errnoret === null || call.errnoret === 0 ? {} : { errnoRet: call.errnoret }),
            ...(call.Args.length > 0
              ? {
                  args: call.Args.map(({ Index, Value, ValueTwo, Op }) => ({
                    index: Index,
                    value: Value,
                    valueTwo: ValueTwo,
                    op: known("operator", SECCOMP_OPERATORS, Op),
                  })),
                }
              : {}),
          })),
        }
      : {}),
  };
}
