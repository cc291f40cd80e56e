import { PolicyError } from "@nacre/agent-policy";
import { mountInfo } from "@nacre/kata-sys-util";
import { type AgentService, Code } from "@nacre/protocols";
import type { Handlers } from "@nacre/ttrpc";

import { debugQuote } from "../debug-quote.ts";
import { AgentError, describeError, invalidArgument } from "../error.ts";
import { guestDetails } from "../guest-details.ts";
import { SHARED_ROOT } from "../paths.ts";
import type { AgentParts } from "./deps.ts";

type Names =
  | "CreateSandbox"
  | "DestroySandbox"
  | "SetPolicy"
  | "GetGuestDetails"
  | "CopyFile"
  | "GetOOMEvent"
  | "GetDiagnosticData"
  | "GetMetrics"
  | "RemoveStaleVirtiofsShareMounts";

/** Time that each container has to end when the sandbox is destroyed, in milliseconds; SIGKILL needs none of it. */
const DESTROY_TIMEOUT_MS = 10_000;

/** Calls on the sandbox and the guest (section 1.3). */
export function sandboxHandlers(parts: AgentParts): Required<Pick<Handlers<typeof AgentService>, Names>> {
  const { containers, copier, creator, log, metrics, oomEvents, policy, sandbox, storages, syscalls } = parts;
  const destroy = async (): Promise<void> => {
    // What is being made would lose its folders half-way, and the sandbox find them changing.
    await creator.close();
    const removals = containers.list().map(({ id }) => creator.remove(id, DESTROY_TIMEOUT_MS));
    for (const result of await Promise.allSettled(removals)) {
      if (result.status === "rejected") {
        log.error("a container was not removed with its sandbox", { error: describeError(result.reason) });
      }
    }
    oomEvents.close();
    await sandbox.destroy();
    parts.shutdown();
  };
  let destroying: Promise<void> | undefined;
  return {
    async CreateSandbox(request, { signal }) {
      await sandbox.create(request, signal);
      copier.forget();
      return {};
    },

    async DestroySandbox() {
      // Hosts ask twice: each would find the other's containers half removed, and the guest go on after both failed.
      destroying ??= destroy().finally(() => (destroying = undefined));
      await destroying;
      return {};
    },

    async SetPolicy({ policy: text }) {
      try {
        const { digest, replaced } = await policy.replacePolicy(text);
        log.info("policy replaced", { sha256: digest, replaced_sha256: replaced });
        return {};
      } catch (error) {
        // The policy that was in force stays in force (golden-findings 19).
        if (!(error instanceof PolicyError)) throw error;
        throw error.code === "refused"
          ? new AgentError(Code.PERMISSION_DENIED, debugQuote(error.message))
          : invalidArgument(error.message);
      }
    },

    GetGuestDetails: (request) => guestDetails(request, storages.driverNames),

    async CopyFile(request, { signal }) {
      await copier.copy(request, signal);
      return {};
    },

    GetOOMEvent: async (_request, { signal }) => ({ container_id: await oomEvents.next(signal) }),

    GetDiagnosticData: async ({ log_type, container_id }) => ({
      data: await creator.diagnosticData(log_type, container_id),
    }),

    GetMetrics: async () => ({ metrics: await metrics.text() }),

    async RemoveStaleVirtiofsShareMounts() {
      // Looking at a mount whose share is gone makes the kernel drop it; what it says is of no interest.
      for (const { mountPoint, fsType } of await mountInfo()) {
        if (fsType === "virtiofs" && mountPoint.startsWith(`${SHARED_ROOT}/`)) {
          await syscalls.statfs(mountPoint).catch(() => undefined);
        }
      }
      return {};
    },
  };
}
