/** Where a shell is looked for: that of the devkit extension, then the image's (section 1.1). */
export const SHELLS: readonly string[] = ["/run/kata-extensions/devkit/bin/devkit-sh", "/bin/bash", "/bin/sh"];

/** What a shell finds in its environment; nothing of the agent's own. */
export const SHELL_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: "/run/kata-extensions/devkit/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: "/root",
  TERM: "linux",
};

/** The real agent's words, and where it was looked for. */
export function noShell(): string {
  return `no shell found to launch debug console: expected one of ${SHELLS.join(", ")}`;
}

/** Looked for each time: an extension may come after the agent's start. */
export function findShell(exists: (path: string) => boolean): string | undefined {
  return SHELLS.find(exists);
}
