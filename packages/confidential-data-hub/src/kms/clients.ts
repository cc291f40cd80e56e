import { randomBytes } from "node:crypto";

import type { Fields } from "@nacre/ocicrypt";

import { HubError } from "../error.ts";
import { AliyunAccountKms } from "./aliyun-account.ts";
import { AliyunInstanceKms } from "./aliyun-instance.ts";
import { AwsKms } from "./aws.ts";
import { EhsmKms } from "./ehsm.ts";
import { nodeKmsHttp } from "./http.ts";
import type { EncryptingKms, Kms } from "./kms.ts";
import type { KmsPorts } from "./ports.ts";

export type { Encrypted, EncryptingKms, Kms } from "./kms.ts";
export type { KmsPorts } from "./ports.ts";

/** The client of a provider by its name in lower case; undefined for one that nobody knows. Throws HubError. */
export function kmsClient(provider: string, settings: Fields, ports: KmsPorts): Kms | undefined {
  switch (provider) {
    case "aws":
      return new AwsKms(settings, ports);
    case "ehsm":
      return new EhsmKms(settings, ports);
    case "aliyun":
      return aliyun(settings, ports);
    default:
      return undefined;
  }
}

function aliyun(settings: Fields, ports: KmsPorts): Kms {
  switch (settings["client_type"]) {
    case "client_key":
      return new AliyunInstanceKms(settings, ports);
    case "ecs_ram_role":
      return AliyunAccountKms.ofRole(ports);
    case "sts_token":
      return AliyunAccountKms.ofToken(settings, ports);
    default:
      throw new HubError("malformed", "provider_settings.client_type: expected client_key, ecs_ram_role or sts_token");
  }
}

export function encrypts(kms: Kms): kms is EncryptingKms {
  return "encrypt" in kms;
}

/** This machine. */
export function systemKmsPorts(env: KmsPorts["env"]): KmsPorts {
  return { http: nodeKmsHttp, now: () => new Date(), env, random: randomBytes };
}
