import { type Context, note, print } from "../context.ts";
import type { Guest } from "../guest/guest.ts";
import type { Built } from "./builder.ts";
import type { WatchEvent } from "./loop.ts";

/** Sources that are named in one line. */
const MAX_NAMED = 3;

/** Says what the loop does: to people in a line, to programs as a document a line. `describe` is of a guest. */
export function teller(
  context: Context,
  describe: { readonly json: (guest: Guest) => object; readonly text: (guest: Guest) => string },
): (event: WatchEvent) => void {
  return (event) => {
    if (context.json) print(context, jsonOf(event, describe.json), "");
    else if (event.event === "started" && !event.again) print(context, {}, `${describe.text(event.guest)}\n`);
    if (!context.json) note(context, textOf(event));
  };
}

function jsonOf(event: WatchEvent, guestJson: (guest: Guest) => object): object {
  switch (event.event) {
    case "started":
    case "daemon":
      return {
        event: event.event,
        guest: guestJson(event.guest),
        milliseconds: event.milliseconds,
        build: event.build,
      };
    case "broken":
      return { event: event.event, because: event.because, message: event.message };
    case "not-started":
      return { event: event.event, message: event.message, build: event.build };
    case "ended":
      return { event: event.event, guest: event.guest.id };
  }
}

export function textOf(event: WatchEvent): string {
  switch (event.event) {
    case "started":
      return event.again
        ? `${builtText(event.build)}; guest ${event.guest.id} is up again after ${rounded(event.milliseconds)} ms`
        : `guest ${event.guest.id} is up after ${rounded(event.milliseconds)} ms; its sources are watched, Ctrl-C ends it`;
    case "daemon":
      return `${builtText(event.build)}; confidential-data-hub is ready again after ${rounded(event.milliseconds)} ms`;
    case "broken": {
      const stays = event.guest === undefined ? "" : `; guest ${event.guest.id} stays as it is`;
      return `${named(event.because)} cannot be built${stays}\n${event.message}`;
    }
    case "not-started":
      return `${builtText(event.build)}; the guest does not start: ${event.message}`;
    case "ended":
      return `guest ${event.guest.id} has ended; the next change starts it again`;
  }
}

function builtText({ because, files, milliseconds }: Built): string {
  const names = files.map((file) => file.replace(/\.mjs$/u, "")).join(", ");
  return `${named(because)}: ${names} built in ${rounded(milliseconds)} ms`;
}

function named(because: readonly string[]): string {
  if (because.length === 0) return "the sources";
  const more = because.length > MAX_NAMED ? ` and ${because.length - MAX_NAMED} more` : "";
  return because.slice(0, MAX_NAMED).join(", ") + more;
}

function rounded(milliseconds: number): string {
  return Math.round(milliseconds).toString();
}
