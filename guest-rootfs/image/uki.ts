import { addSections } from "./pe.ts";

/** What a unified kernel image holds, by the names of its sections. */
export interface UkiParts {
  /** systemd's EFI stub. */
  readonly stub: Buffer;
  readonly kernel: Buffer;
  readonly initramfs?: Buffer;
  readonly commandLine: string;
  /** os-release(5). */
  readonly osRelease: Buffer;
}

/** The sections in the order in which systemd's stub measures them; the stub itself is in front. */
export function ukiSections({
  kernel,
  initramfs,
  commandLine,
  osRelease,
}: UkiParts): readonly (readonly [string, Buffer])[] {
  return [
    [".linux", kernel],
    [".osrel", osRelease],
    [".cmdline", Buffer.from(commandLine)],
    ...(initramfs === undefined ? [] : [[".initrd", initramfs] as const]),
  ];
}

/** Kernel, initramfs and command line as one EFI program. */
export function makeUki(parts: UkiParts): Buffer {
  return addSections(parts.stub, ukiSections(parts));
}
