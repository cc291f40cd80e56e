import { type Context, note } from "./context.ts";
import { sweep } from "./guest/cleanup.ts";

/** Clears up after guests whose supervisor was killed. Only root can, and only root could have made them. */
export async function sweepAbandoned(context: Context): Promise<void> {
  if (process.getuid?.() !== 0) return;
  for (const id of await sweep()) note(context, `removed what was left of guest ${id}`);
}
