import { expect, it } from "vitest";

import { ownEndOfTpm } from "../../../src/guest/qemu/guest-tpm.ts";

const never = new Promise<never>(() => {});

it("a TPM that fails, or ends in good order by itself, is told with how", async () => {
  expect(await ownEndOfTpm(Promise.resolve("SIGKILL"), never, 60_000)).toBe("the end of its TPM, SIGKILL,");
  expect(await ownEndOfTpm(Promise.resolve("status 0"), never, 1)).toBe("the end of its TPM, status 0,");
});

it("a TPM that ends in good order with its machine, before or after it, is not", async () => {
  const machine = Promise.withResolvers<void>();
  const [before, after] = [
    ownEndOfTpm(Promise.resolve("status 0"), machine.promise, 500),
    ownEndOfTpm(
      machine.promise.then(() => "status 0"),
      machine.promise,
      500,
    ),
  ];
  machine.resolve();
  const late = new Promise((done) => void setTimeout(done, 1000, "nothing"));
  expect(await Promise.race([before, after, late])).toBe("nothing");
});
