export {
  type Address,
  CID_ANY,
  formatAddress,
  type HybridAddress,
  parseAddress,
  type TcpAddress,
  type UnixAddress,
  type VsockAddress,
} from "./address.ts";
export { dial, type DialOptions, dialSocket } from "./dial.ts";
export { VsockError, type VsockErrorCode } from "./error.ts";
export { grpcMethods } from "./grpc-methods.ts";
export type { GrpcMethod, GrpcServer } from "./grpc-server.ts";
export { HybridVsock, type HybridOptions } from "./hybrid.ts";
export { type Listener, listen, type ListenOptionsVsock, listenSockets } from "./listen.ts";
export { Relay, type RelayOptions } from "./relay.ts";
export { type RpcServing, serveRpc, type ServeRpcOptions } from "./serve-rpc.ts";
export { siblingAddress } from "./sibling-address.ts";
export { peerProcess } from "./peer-process.ts";
export { socketTransport } from "./socket-transport.ts";
export { socketFromFd, type VsockCalls } from "./vsock-socket.ts";
