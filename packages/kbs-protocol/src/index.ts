export { KbsProtocolError, type KbsProtocolErrorCode } from "./error.ts";
export { decodeInitdataAnnotation, encodeInitdataAnnotation, INITDATA_ANNOTATION } from "./initdata/annotation.ts";
export {
  fitDigest,
  formatInitdata,
  INITDATA_ALGORITHMS,
  INITDATA_VERSION,
  type Initdata,
  type InitdataAlgorithm,
  initdataDigest,
  InitdataKey,
  MAX_DOCUMENT,
  parseInitdata,
} from "./initdata/document.ts";
export {
  IMAGE_HEADER,
  MAX_COMPRESSED,
  parseImageHeader,
  readInitdataImage,
  writeInitdataImage,
} from "./initdata/image.ts";
