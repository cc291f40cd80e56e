import { AGENT_ENVIRONMENT, NODE_FLAGS } from "@nacre/nvrc";

/**
 * Units for an image whose init is systemd, under upstream's names: Kata's runtime boots into kata-containers.target,
 * the agent's end is the guest's, and nothing else is chosen before the agent when memory runs out.
 */
export const UNIT_FOLDER = "/usr/lib/systemd/system";

/** `interpreter`: absolute path of Node in the image. */
export function agentService(interpreter: string): string {
  const environment = Object.entries(AGENT_ENVIRONMENT)
    .map(([name, value]) => `Environment=${name}=${value}\n`)
    .join("");
  return `[Unit]
Description=Kata agent of Nacre
Wants=kata-containers.target
# The machine is powered off with the agent, however that ends.
FailureAction=poweroff
SuccessAction=poweroff-force

[Service]
# The agent says when it answers.
Type=notify
ExecStart=${[interpreter, ...NODE_FLAGS, "/usr/lib/nacre/kata-agent.mjs"].join(" ")}
${environment}# To the console, from where the runtime's journal has it.
StandardOutput=tty
LimitNOFILE=1073741824
OOMScoreAdjust=-997
`;
}

export const AGENT_TARGET = `[Unit]
Description=What a Kata guest runs
Requires=basic.target
Requires=tmp.mount
Requires=kata-agent.service
Wants=chronyd.service
Conflicts=rescue.service rescue.target
After=basic.target rescue.service rescue.target
AllowIsolate=yes
`;
