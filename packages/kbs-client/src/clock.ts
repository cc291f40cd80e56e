import { setTimeout as sleep } from "node:timers/promises";

import type { KbsClock } from "@nacre/kbs-protocol";

/** The machine's clock. In a module of its own: who has to wait need not load the network. */
export const systemKbsClock: KbsClock = {
  monotonic: () => Number(process.hrtime.bigint() / 1_000_000n),
  sleep: async (ms, signal) => {
    await sleep(ms, undefined, signal === undefined ? {} : { signal }).catch((error: unknown) => {
      throw signal?.aborted === true ? signal.reason : error;
    });
  },
};
