import { type Command, command } from "../command.ts";
import { print } from "../context.ts";
import { NacreError } from "../error.ts";
import { execProcess } from "../process-spec.ts";
import { openContainer } from "../select.ts";
import { session } from "../session.ts";
import { screenOf } from "../terminal.ts";

export const exec: Command = command({
  name: "exec",
  usage: "CONTAINER -- COMMAND [ARG...]",
  summary: "Run a further process in a container",
  arity: { min: 1, max: 1, rest: true },
  flags: {
    guest: { type: "string", value: "GUEST", help: "which guest; default: the one that has the container" },
    env: {
      type: "string",
      short: "e",
      multiple: true,
      value: "NAME[=VALUE]",
      help: "environment entry beside the container's",
    },
    user: { type: "string", short: "u", value: "UID[:GID]", help: "in place of the container's" },
    workdir: { type: "string", short: "w", value: "PATH", help: "in place of the container's" },
    interactive: { type: "boolean", short: "i", help: "pass standard input" },
    tty: { type: "boolean", short: "t", help: "give it a terminal" },
  },
  async run({ args: [name = ""], rest, flags }, context) {
    if (rest === undefined || rest.length === 0) throw new NacreError("usage", "exec: expected a command after --");
    const { signal } = context.interrupts;
    using open = await openContainer(name, flags.guest, signal);
    const { agent, pod, record } = open;
    const process = execProcess(record.process, {
      command: rest,
      env: flags.env,
      hostEnv: context.env,
      terminal: flags.tty,
      size: screenOf(context).size(),
      user: flags.user,
      workdir: flags.workdir,
    });
    const ids = await pod.exec(record, process, signal);
    const result = await session(context, agent, pod, ids, { interactive: flags.interactive, terminal: flags.tty });
    if (context.json) print(context, { guest: pod.guest.id, name: record.name, exec: ids.exec_id, ...result }, "");
    return result.status;
  },
});
