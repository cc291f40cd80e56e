export { NodeKbsHttp, type NodeKbsHttpOptions, proxiesOf, systemKbsClock } from "./node-http.ts";
