export { OcicryptError, type OcicryptErrorCode } from "./error.ts";
export type { Fields } from "./fields.ts";
export {
  formatUnwrapOutput,
  formatWrapOutput,
  parseUnwrapInput,
  parseUnwrapOutput,
  parseWrapInput,
  type WrapInput,
} from "./key-provider.ts";
export { decryptLayer, encryptLayer, type LayerDecryption, type LayerEncryption } from "./layer-cipher.ts";
export {
  CIPHER,
  formatPrivateOptions,
  formatPublicOptions,
  parsePrivateOptions,
  parsePublicOptions,
  type PrivateOptions,
  PUBLIC_OPTIONS_ANNOTATION,
} from "./layer-options.ts";
export { decryptedMediaType, encryptedMediaType, isEncrypted } from "./media-type.ts";
export {
  type BrokerPacket,
  formatPacket,
  isBrokerPacket,
  KEYS_ANNOTATION,
  type Packet,
  parsePacket,
  type ServicePacket,
} from "./packet.ts";
export { ivLength, parseWrapType, unwrap, wrap, WRAP_TYPES, type WrapType, type Wrapped } from "./wrap.ts";
