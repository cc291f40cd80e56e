import { hasCode, type ProcessCalls, Rlimit } from "@nacre/kata-sys-util";

/** Upstream's for the agent (section 1.5), which inherits it; a guest with many containers holds many pipes. */
const OPEN_FILES = 1_048_576n;

/** Raises the limit of open files, or takes what there is where the right to raise it is missing, as in some sandboxes. */
export function raiseLimits(sys: ProcessCalls): void {
  try {
    sys.setrlimit(Rlimit.RLIMIT_NOFILE, { soft: OPEN_FILES, hard: OPEN_FILES });
  } catch (error) {
    if (!hasCode(error, "EPERM")) throw error;
    const { hard } = sys.getrlimit(Rlimit.RLIMIT_NOFILE);
    sys.setrlimit(Rlimit.RLIMIT_NOFILE, { soft: hard, hard });
  }
}
