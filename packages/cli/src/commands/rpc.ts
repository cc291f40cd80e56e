import {
  AgentService,
  fromJson,
  Health,
  type Init,
  JsonError,
  type MethodDescriptor,
  parseLossless,
  toJson,
} from "@nacre/protocols";

import { Agent } from "../agent.ts";
import { type Command, command } from "../command.ts";
import { print } from "../context.ts";
import { NacreError } from "../error.ts";
import { readInput } from "../input-file.ts";
import { selectGuest } from "../select.ts";

type AnyMethod = MethodDescriptor<object, object>;

const METHODS: ReadonlyMap<string, AnyMethod> = new Map(
  [AgentService, Health].flatMap(({ methods }) =>
    Object.entries(methods as Readonly<Record<string, unknown>>).map(([name, method]) => [name, method as AnyMethod]),
  ),
);

export const rpc: Command = command({
  name: "rpc",
  usage: "METHOD [JSON|-]",
  summary: "Call any method of the agent; the reply is printed as JSON",
  details: `
JSON is protobuf's: names as in protos/, 64-bit numbers as strings or numbers, bytes in base64. - reads standard input.
Without JSON the request is empty. --list names the methods.`,
  arity: { min: 0, max: 2 },
  flags: {
    guest: { type: "string", value: "GUEST", help: "which guest; default: the only one" },
    address: { type: "string", value: "URL", help: "an agent anywhere: unix://, hvsock://, vsock://, tcp://" },
    timeout: { type: "string", value: "SECONDS", help: "give up after so long; default: wait" },
    list: { type: "boolean", short: "l", help: "list the methods" },
  },
  async run({ args: [name, text = "{}"], flags }, context) {
    if (flags.list) {
      const names = [...METHODS.values()].map(({ path }) => path);
      print(context, names, names.join("\n"));
      return;
    }
    if (name === undefined) throw new NacreError("usage", "rpc: expected a method; nacre rpc --list names them");
    const method = findMethod(name);
    const request = requestOf(method, text === "-" ? await readInput("-", context) : text);
    const timeoutMs = flags.timeout === undefined ? undefined : seconds(flags.timeout) * 1000;
    const { signal } = context.interrupts;
    using agent = await Agent.connect(flags.address ?? selectGuest(flags.guest).agentAddress, signal);
    const reply = await agent.call(method, request, { timeoutMs, signal });
    const json = toJson(method.responseType, reply);
    print(context, json, JSON.stringify(json, undefined, 2));
  },
});

/** By its own name, or with its service: `Check`, `Health/Check`, `grpc.Health/Check`. Throws NacreError `usage`. */
export function findMethod(text: string): AnyMethod {
  const name = text.startsWith("/") ? text.slice(1) : text;
  const method = METHODS.get(name.slice(name.lastIndexOf("/") + 1));
  if (method === undefined || !`.${method.path.slice(1)}`.endsWith(name.includes("/") ? `.${name}` : `/${name}`)) {
    throw new NacreError("usage", `the agent has no method ${text}; nacre rpc --list names them`);
  }
  return method;
}

/** Throws NacreError `input`. */
export function requestOf(method: AnyMethod, text: string): Init<object> {
  try {
    return fromJson(method.requestType, parseLossless(text));
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    throw new NacreError("input", `request of ${method.name}`, { cause });
  }
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 86_400))
    throw new NacreError("usage", `--timeout: expected seconds up to a day, got ${text}`);
  return value;
}
