import { closeSync, openSync } from "node:fs";

import { DEFAULT_LIMITS, type PolicyEngineOptions, scriptDeadline } from "@nacre/agent-policy";

/** More descriptors than Node takes for the thread that ends a call. */
const DESCRIPTORS = 6;

/**
 * The bound on calls into the policy engine. Its thread needs descriptors, and Node ends the process when there are
 * none; the host can use them all up, by connections or processes. Then the call fails instead, and with it the request.
 */
export const policyDeadline: NonNullable<PolicyEngineOptions["deadline"]> = (work) => {
  requireDescriptors();
  return bounded(work);
};

const bounded = scriptDeadline(DEFAULT_LIMITS.deadlineMs);

function requireDescriptors(): void {
  const free: number[] = [];
  try {
    while (free.length < DESCRIPTORS) free.push(openSync("/", "r"));
  } finally {
    for (const fd of free) closeSync(fd);
  }
}
