/**
 * The address of another port of the agent beside its API: the same context id with the port replaced, or, where vsock
 * is emulated by `DIR/1024.sock`, `DIR/PORT.sock`. Undefined for addresses that have no ports.
 */
export function siblingAddress(serverAddress: string, port: number): string | undefined {
  const vsock = /^vsock:\/\/(-?\d+):\d+$/.exec(serverAddress);
  if (vsock !== null) return `vsock://${vsock[1]}:${port}`;
  const unix = /^(unix:\/\/\/.*\/)\d+\.sock$/.exec(serverAddress);
  return unix === null ? undefined : `${unix[1]}${port}.sock`;
}
