export type { CallContext } from "./call.ts";
export { type CallOptions, type ClientOptions, TtrpcClient } from "./client.ts";
export { type Clock, systemClock } from "./clock.ts";
export { messageWithCauses, RpcError } from "./error.ts";
export { FrameDecoder, type FrameSink, FrameType, HEADER_LENGTH, MAX_MESSAGE_LENGTH, writeHeader } from "./frame.ts";
export type { Metadata } from "./message.ts";
export { type Handler, type Handlers, type ServerOptions, TtrpcServer } from "./server.ts";
export type { ConnectionLimits, ServerConnection } from "./server-connection.ts";
export { type Transport, type TransportHandlers, transportPair } from "./transport.ts";
