import type { Command } from "../command.ts";
import { aaEvidence, aaExtend, aaTee, aaToken } from "./aa.ts";
import { attest } from "./attest.ts";
import { cdhGetResource, cdhPullImage, cdhUnseal, cdhUnwrap } from "./cdh.ts";
import { doctor } from "./doctor.ts";
import { exec } from "./exec.ts";
import { guestConsole } from "./guest-console.ts";
import { guestList } from "./guest-list.ts";
import { guestLogs } from "./guest-logs.ts";
import { guestStart } from "./guest-start.ts";
import { guestStop } from "./guest-stop.ts";
import { hypervisorServe } from "./hypervisor-serve.ts";
import { imageEncrypt, imageKeyProvider } from "./image-encrypt.ts";
import { initdataBuild } from "./initdata-build.ts";
import { initdataDigest, initdataInspect } from "./initdata-inspect.ts";
import { kataInstall, kataUninstall } from "./kata-install.ts";
import { policyCheck } from "./policy-check.ts";
import { policyDiff } from "./policy-diff.ts";
import { policyExplain } from "./policy-explain.ts";
import { policyGenerate } from "./policy-generate.ts";
import { ps } from "./ps.ts";
import { rm } from "./rm.ts";
import { rpc } from "./rpc.ts";
import { run } from "./run.ts";
import { secretKeygen } from "./secret-keygen.ts";
import { secretSeal } from "./secret-seal.ts";
import { secretUnseal } from "./secret-unseal.ts";
import { stats } from "./stats.ts";
import { trace } from "./trace.ts";
import { trusteeAs, trusteeRvps } from "./trustee-services.ts";
import { trusteeStart, trusteeToken } from "./trustee-start.ts";

/** All commands, in the order of the help. */
export const COMMANDS: readonly Command[] = [
  doctor,
  guestStart,
  guestList,
  guestStop,
  guestLogs,
  guestConsole,
  run,
  exec,
  ps,
  stats,
  rm,
  rpc,
  policyGenerate,
  policyCheck,
  policyExplain,
  policyDiff,
  trace,
  attest,
  initdataBuild,
  initdataInspect,
  initdataDigest,
  aaTee,
  aaEvidence,
  aaToken,
  aaExtend,
  cdhGetResource,
  cdhUnseal,
  cdhUnwrap,
  cdhPullImage,
  secretKeygen,
  secretSeal,
  secretUnseal,
  imageEncrypt,
  imageKeyProvider,
  trusteeStart,
  trusteeToken,
  trusteeAs,
  trusteeRvps,
  hypervisorServe,
  kataInstall,
  kataUninstall,
];
