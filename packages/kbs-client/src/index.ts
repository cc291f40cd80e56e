export { NodeKbsHttp, type NodeKbsHttpOptions, proxiesOf } from "./node-http.ts";
