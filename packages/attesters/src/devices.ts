/** Bytes that a device's file may give: quotes and tables of certificates have tens of thousands. */
export const MAX_DEVICE_READ: number = 1 << 20;

/** The port to devices and the kernel's files about them. Failures are AttesterError `device`. */
export interface Devices {
  exists(path: string): boolean;
  /** The whole file, at most {@link MAX_DEVICE_READ} bytes; undefined where there is none. */
  read(path: string): Promise<Buffer | undefined>;
  /** In one write, as attributes of the kernel want it. */
  write(path: string, bytes: Uint8Array): Promise<void>;
  mkdir(path: string): Promise<void>;
  rmdir(path: string): Promise<void>;
  /**
   * One ioctl(2) over memory that the kernel reads and fills. Where it holds pointers, each block's address is put at its
   * offset.
   */
  ioctl(path: string, request: number, argument: Buffer, pointers?: readonly Pointer[]): Promise<void>;
  /** A device that takes a command and gives its response. */
  open(path: string): Promise<CommandDevice>;
}

export interface Pointer {
  readonly offset: number;
  readonly block: Buffer;
  /** Pointers in that block. */
  readonly inner?: readonly Pointer[];
}

export interface CommandDevice {
  transact(command: Uint8Array): Promise<Buffer>;
  close(): Promise<void>;
}
