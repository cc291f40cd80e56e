import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { KmsReply, KmsRequest } from "../../src/kms/http.ts";
import type { KmsPorts } from "../../src/kms/ports.ts";

export const NOW = new Date("2026-11-25T12:34:56.789Z");

/** A service that a test plays, and a folder of credentials. */
export class FakeService {
  readonly folder: string = mkdtempSync(join(tmpdir(), "nacre-kms-"));
  readonly requests: KmsRequest[] = [];
  /** What the client was handed, to see whether it was zeroed. */
  readonly replies: Buffer[] = [];
  answer: (request: KmsRequest) => { status: number; body: string | Uint8Array } = () => ({ status: 500, body: "" });

  get ports(): KmsPorts {
    return {
      now: () => NOW,
      random: (bytes) => Buffer.alloc(bytes, 7),
      env: {
        AWS_IN_GUEST_KEY_PATH: this.folder,
        ALIYUN_IN_GUEST_KEY_PATH: this.folder,
        EHSM_IN_GUEST_KEY_PATH: this.folder,
      },
      http: {
        send: (request): Promise<KmsReply> => {
          this.requests.push(request);
          const { status, body } = this.answer(request);
          const bytes = Buffer.from(body);
          this.replies.push(bytes);
          return Promise.resolve({ status, body: bytes });
        },
      },
    };
  }

  put(name: string, value: string | object): void {
    writeFileSync(join(this.folder, name), typeof value === "string" ? value : JSON.stringify(value));
  }

  get last(): KmsRequest {
    const request = this.requests.at(-1);
    if (request === undefined) throw new Error("nothing was asked");
    return request;
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true });
  }
}

export const bodyOf = (request: KmsRequest): unknown => JSON.parse(Buffer.from(request.body ?? []).toString());
export const zeroed = (bytes: Buffer): boolean => bytes.every((byte) => byte === 0);
