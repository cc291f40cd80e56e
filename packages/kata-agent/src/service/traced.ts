import type { Tracer } from "@nacre/protocols";

/** Calls that wait for something to happen, for as long as it takes: how long says nothing. */
const WAITING: ReadonlySet<string> = new Set(["WaitProcess", "GetOOMEvent", "ReadStdout", "ReadStderr"]);
/** A runtime asks these again and again; only the first tells something. */
const REPEATED: ReadonlySet<string> = new Set(["Check"]);
const OUTPUT: ReadonlySet<string> = new Set(["ReadStdout", "ReadStderr"]);
/** Containers whose first output is told; whoever makes more has no boot to look at. */
const MAX_OUTPUTS = 256;

type AnyHandler = (request: unknown, context: unknown) => unknown;

/** The same handlers, whose calls become events; these handlers themselves where nobody wants events. */
export function traced<T extends object>(tracer: Pick<Tracer, "on" | "mark" | "span">, handlers: T): T {
  if (!tracer.on) return handlers;
  const seen = new Set<string>();
  const outputs = new Set<string>();
  const wrap = (name: string, handler: AnyHandler): AnyHandler => {
    if (OUTPUT.has(name)) {
      return async (request, context) => {
        const reply = await handler(request, context);
        const id = containerOf(request);
        if (dataLength(reply) > 0 && !outputs.has(id) && outputs.size < MAX_OUTPUTS) {
          outputs.add(id);
          tracer.mark("output", id);
        }
        return reply;
      };
    }
    if (WAITING.has(name)) return handler;
    return (request, context) => {
      if (REPEATED.has(name) && seen.has(name)) return handler(request, context);
      seen.add(name);
      return tracer.span(
        "call",
        `${name} ${containerOf(request)}`.trimEnd(),
        async () => await handler(request, context),
      );
    };
  };
  return Object.fromEntries(
    Object.entries(handlers).map(([name, handler]) => [name, wrap(name, handler as AnyHandler)]),
  ) as T;
}

function containerOf(request: unknown): string {
  const { container_id: id } = request as { readonly container_id?: unknown };
  return typeof id === "string" ? id : "";
}

function dataLength(reply: unknown): number {
  return (reply as { readonly data: Uint8Array }).data.length;
}
