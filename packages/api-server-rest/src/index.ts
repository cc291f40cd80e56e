export { type AaelEvent, parseAaelEvent } from "./aael-event.ts";
export { Component, type ComponentCall } from "./component.ts";
export { RestError, type RestErrorCode } from "./error.ts";
export { type HttpServerOptions, isLoopback, type RestServer, serveHttp } from "./http-server.ts";
export { openApiDocument, openApiText, OPERATIONS } from "./openapi.ts";
export { type Feature, FEATURES, parseOptions, type RestOptions } from "./options.ts";
export { MAX_BODY, type RestReply, type RestRequest } from "./reply.ts";
export { Router, type RouterOptions } from "./router.ts";
