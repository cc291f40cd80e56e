import { VsockError } from "./error.ts";

/**
 * Containers of a pod share the guest's network, so TCP is for the devkit's bundles and for what runs from source. The
 * bundler puts the flavour in: spelt out at each place, the condition is one that it decides, and the code goes.
 */
declare const NACRE_FLAVOUR: string | undefined;

/** A real vsock address; cid 0xffffffff is "any". */
export interface VsockAddress {
  readonly scheme: "vsock";
  readonly cid: number;
  readonly port: number;
}

/** A port behind a hybrid-vsock multiplexer, which listens on a unix socket. */
export interface HybridAddress {
  readonly scheme: "hvsock";
  readonly path: string;
  readonly port: number;
}

/** A unix socket; an abstract name is kept as `@name`. */
export interface UnixAddress {
  readonly scheme: "unix";
  readonly path: string;
}

export interface TcpAddress {
  readonly scheme: "tcp";
  readonly host: string;
  readonly port: number;
}

/** Where a service listens (design decision 11). */
export type Address = VsockAddress | HybridAddress | UnixAddress | TcpAddress;

/** `vsock://-1:PORT`: any context id. */
export const CID_ANY = 0xffff_ffff;

/** Bytes of a unix socket's path: the kernel's sun_path is 108 with its closing zero. */
const MAX_UNIX_PATH = 107;
const MAX_U32 = 0xffff_ffff;

/**
 * Parses `vsock://CID:PORT` (CID -1 for any), `hvsock:///path:PORT`, `unix:///path`, `unix://@name`, `tcp://host:port`
 * (IPv6 in brackets). Throws {@link VsockError} `address`.
 */
export function parseAddress(url: string): Address {
  const parts = /^([a-z]+):\/\/(.*)$/s.exec(url);
  const rest = parts?.[2] ?? "";
  switch (parts?.[1]) {
    case "vsock": {
      const [host, port] = splitPort(url, rest, MAX_U32);
      return { scheme: "vsock", cid: host === "-1" ? CID_ANY : number(url, "context id", host, MAX_U32), port };
    }
    case "hvsock": {
      const [path, port] = splitPort(url, rest, MAX_U32);
      if (path.startsWith("@")) throw bad(url, "expected an absolute path before the port");
      return { scheme: "hvsock", path: unixPath(url, path), port };
    }
    case "unix":
      return { scheme: "unix", path: unixPath(url, rest) };
    case "tcp":
      if (typeof NACRE_FLAVOUR === "undefined" || NACRE_FLAVOUR === "devkit") {
        const [host, port] = splitPort(url, rest, 0xffff);
        const bare = /^\[([^\]]+)\]$/.exec(host)?.[1] ?? host;
        if (bare === "" || (bare === host && host.includes(":"))) throw bad(url, "expected host:port");
        return { scheme: "tcp", host: bare, port };
      } else {
        throw bad(url, "expected vsock://, hvsock:// or unix://; this build has no TCP");
      }
    default:
      throw bad(url, "expected vsock://, hvsock://, unix:// or tcp://");
  }
}

/** The reverse of {@link parseAddress}. */
export function formatAddress(address: Address): string {
  switch (address.scheme) {
    case "vsock":
      return `vsock://${address.cid === CID_ANY ? -1 : address.cid}:${address.port}`;
    case "hvsock":
      return `hvsock://${address.path}:${address.port}`;
    case "unix":
      return `unix://${address.path}`;
    case "tcp":
      return `tcp://${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
  }
}

/** A unix address as Node takes it: an abstract name begins with a zero byte. */
export function socketPath(path: string): string {
  return path.startsWith("@") ? `\0${path.slice(1)}` : path;
}

function unixPath(url: string, path: string): string {
  if (!/^(\/|@)./s.test(path)) throw bad(url, "expected an absolute path or @name");
  if (path.includes("\0")) throw bad(url, "expected a path without zero bytes");
  const length = Buffer.byteLength(path);
  if (length > MAX_UNIX_PATH) throw bad(url, `expected a path of at most ${MAX_UNIX_PATH} bytes, got ${length}`);
  return path;
}

function splitPort(url: string, rest: string, max: number): [host: string, port: number] {
  const colon = rest.lastIndexOf(":");
  if (colon < 0) throw bad(url, "expected a port");
  return [rest.slice(0, colon), number(url, "port", rest.slice(colon + 1), max)];
}

function number(url: string, what: string, text: string, max: number): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : NaN;
  if (!(value <= max)) throw bad(url, `expected a ${what} from 0 to ${max}, got ${JSON.stringify(text)}`);
  return value;
}

function bad(url: string, message: string): VsockError {
  return new VsockError("address", `address ${JSON.stringify(url)}: ${message}`);
}

/** For an address of a build that has TCP, in one that has not. */
export function noTcp(address: TcpAddress): VsockError {
  return bad(formatAddress(address), "this build has no TCP");
}
