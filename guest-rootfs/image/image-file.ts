/** `image.json`: what boots an image, read by whatever does. Files are named relative to its folder. */
export interface ImageFile {
  readonly flavour: string;
  /** As `uname -m`. */
  readonly arch: string;
  readonly kernel: string;
  /** None where the kernel opens the root itself. */
  readonly initramfs?: string;
  /** Kernel, initramfs and command line as one EFI program, for a boot by OVMF that a TPM measures. */
  readonly unifiedKernelImage: string;
  /**
   * Raw, with the root on its first partition and its hash tree on the second; the guest's first virtio disk. None where
   * the initramfs is the root.
   */
  readonly disk?: string;
  /** All that the kernel needs to boot this root. The host appends the agent's parameters. */
  readonly commandLine: string;
  /** Whether the Debian packages in it are those of the lock. */
  readonly locked: boolean;
  /** Of dm-verity, in hex; none without a disk. */
  readonly rootHash?: string;
  /**
   * Disks that this root accepts beside its own, by name. A host attaches one with the serial number `extension-<name>` and
   * adds `kata.extension.<name>.verity_params=<verityParams>` to the command line.
   */
  readonly extensions: Readonly<Record<string, { readonly disk: string; readonly verityParams: string }>>;
  /** Of each file, in hex. */
  readonly sha256: Readonly<Record<string, string>>;
}

export const IMAGE_FILE = "image.json";
