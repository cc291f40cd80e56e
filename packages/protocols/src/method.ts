import { decode } from "./decode.ts";
import type { MethodRow } from "./descriptor.ts";
import { encode } from "./encode.ts";
import { EncodeError } from "./error.ts";
import { services } from "./gen/descriptor.ts";
import type { Init } from "./init.ts";

/** A method of a service: its names, its types and how its messages become bytes. */
export interface MethodDescriptor<Req, Res> {
  /** Full name of the service, e.g. `grpc.AgentService`. */
  readonly service: string;
  readonly name: string;
  /** As HTTP/2 carries it, e.g. `/grpc.AgentService/CreateContainer`. */
  readonly path: string;
  /** Full names of the messages. */
  readonly requestType: string;
  readonly responseType: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  /** Throws EncodeError when a value does not fit its field. */
  encodeRequest(value: Init<Req>): Uint8Array;
  /** Throws DecodeError. Bytes fields of the result are views of `bytes`. */
  decodeRequest(bytes: Uint8Array): Req;
  encodeResponse(value: Init<Res>): Uint8Array;
  decodeResponse(bytes: Uint8Array): Res;
}

/** A service and its methods by name. */
export interface ServiceDescriptor {
  readonly name: string;
  // The types of different methods have nothing in common, and code over all of them never looks inside.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly methods: Readonly<Record<string, MethodDescriptor<any, any>>>;
}

/** The service of that name; the generated constants give it its type. Its codec's tables are made by the first call. */
export function serviceDescriptor<S extends ServiceDescriptor>(name: S["name"]): S {
  const rows = Object.hasOwn(services, name) ? services[name] : undefined;
  if (rows === undefined) throw new EncodeError("unknown-type", `no service ${name}`);
  return { name, methods: Object.fromEntries(rows.map((row) => [row[0], method(name, row)])) } as unknown as S;
}

function method(
  service: string,
  [name, requestType, responseType, requestStream = false, responseStream = false]: MethodRow,
): MethodDescriptor<object, object> {
  return {
    service,
    name,
    path: `/${service}/${name}`,
    requestType,
    responseType,
    requestStream,
    responseStream,
    encodeRequest: (value) => encode(requestType, value),
    decodeRequest: (bytes) => decode(requestType, bytes),
    encodeResponse: (value) => encode(responseType, value),
    decodeResponse: (bytes) => decode(responseType, bytes),
  };
}
