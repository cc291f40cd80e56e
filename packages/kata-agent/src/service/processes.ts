import { AgentService, type grpc } from "@nacre/protocols";
import type { CallContext, Handlers } from "@nacre/ttrpc";

import type { Process } from "../container/index.ts";
import { internalError } from "../error.ts";
import type { GatedMethod } from "../gate.ts";
import type { AgentParts } from "./deps.ts";
import { findContainer, findOwner, findProcess } from "./lookup.ts";

type Names = "SignalProcess" | "WaitProcess" | "WriteStdin" | "CloseStdin" | "TtyWinResize";
type ReadNames = "ReadStdout" | "ReadStderr";

/** SIGKILL with no exec id reaches everything in the container (section 3.8). */
const SIGKILL = 9;

/** Calls on one process (section 1.3). */
export function processHandlers({ containers }: AgentParts): Required<Pick<Handlers<typeof AgentService>, Names>> {
  return {
    SignalProcess({ container_id, exec_id, signal }) {
      if (exec_id === "" && signal === SIGKILL && containers.get(container_id) === undefined) {
        throw internalError(`Invalid container id ${container_id}`);
      }
      findOwner(containers, container_id).signal(exec_id, signal);
      return {};
    },

    async WaitProcess({ container_id, exec_id }, { signal }) {
      return { status: await findOwner(containers, container_id).wait(exec_id, signal) };
    },

    async WriteStdin({ container_id, exec_id, data }, { signal }) {
      const process = findContainer(containers, container_id).process(exec_id);
      if (process === undefined) throw internalError("Process not found: invalid exec id");
      if (data.length === 0) {
        await endInput(process, signal);
        return { len: 0 };
      }
      return { len: await process.writeStdin(data, signal) };
    },

    async CloseStdin({ container_id, exec_id }, { signal }) {
      await endInput(findProcess(containers, container_id, exec_id), signal);
      return {};
    },

    TtyWinResize({ container_id, exec_id, row, column }) {
      findProcess(containers, container_id, exec_id).resize(row, column);
      return {};
    },
  };
}

/**
 * Closes a pipe. A terminal cannot be half closed: upstream hangs it up, which a shell takes for the end of its input
 * and which cuts the output off. Ours types the end-of-file character instead, so the rest of the output is not lost.
 */
async function endInput(process: Process, signal: AbortSignal): Promise<void> {
  if (process.terminal) {
    try {
      await process.writeStdin(END_OF_TRANSMISSION, signal);
    } catch {
      // Closed before, or nobody is there to read it: the input has ended either way.
      signal.throwIfAborted();
    }
  }
  process.closeStdin();
}

/** VEOF of a terminal in its default state. */
const END_OF_TRANSMISSION = Uint8Array.of(4);

/**
 * Output is read first and put to the policy second: refused data is dropped and the reply is empty, which the runtime
 * takes for the end; an error would stall its container (kata#10680). These two ask the policy themselves.
 */
export function readHandlers(parts: AgentParts): Required<Pick<Handlers<typeof AgentService>, ReadNames>> {
  const { ReadStdout, ReadStderr } = AgentService.methods;
  const read = async (
    method: GatedMethod,
    request: grpc.ReadStreamRequest,
    { signal }: CallContext,
    from: (process: Process) => Promise<Uint8Array>,
  ): Promise<{ data: Uint8Array }> => {
    const data = await from(findProcess(parts.containers, request.container_id, request.exec_id));
    return { data: (await parts.gate.allows(method, request, signal)) ? data : new Uint8Array() };
  };
  return {
    ReadStdout: (request, context) =>
      read(ReadStdout, request, context, (process) => process.readStdout(request.len, context.signal)),
    ReadStderr: (request, context) =>
      read(ReadStderr, request, context, (process) => process.readStderr(request.len, context.signal)),
  };
}
