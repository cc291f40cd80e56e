import type { ServiceDescriptor } from "@nacre/protocols";
import { type Handlers, TtrpcServer } from "@nacre/ttrpc";
import { type GrpcMethod, grpcMethods } from "@nacre/vsock";

/** Services with what answers them, for both protocols. */
export class HubServices {
  readonly ttrpc: TtrpcServer;
  readonly #methods: (() => GrpcMethod[])[] = [];

  constructor(onError: (error: unknown, method: string) => void) {
    this.ttrpc = new TtrpcServer({ onError });
  }

  add<S extends ServiceDescriptor>(service: S, handlers: Handlers<S>): this {
    this.ttrpc.addService(service, handlers);
    this.#methods.push(() => grpcMethods(service, handlers));
    return this;
  }

  /** For the first caller that speaks gRPC. */
  grpc(): GrpcMethod[] {
    return this.#methods.flatMap((methods) => methods());
  }
}
