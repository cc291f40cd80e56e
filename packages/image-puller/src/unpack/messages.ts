import type { PullErrorCode } from "../error.ts";
import type { LayerPlan, UnpackedLayer } from "./layer-unpack.ts";

/** From the puller to an unpack worker. Layers are told apart by number. */
export type ToWorker =
  | { readonly kind: "start"; readonly layer: number; readonly plan: LayerPlan }
  /** The buffer is transferred and comes back with `used`. */
  | { readonly kind: "chunk"; readonly layer: number; readonly buffer: ArrayBuffer; readonly length: number }
  | { readonly kind: "end"; readonly layer: number }
  | { readonly kind: "abort"; readonly layer: number };

/** From an unpack worker. After `done` or `failed` it holds nothing of that layer any more. */
export type FromWorker =
  | { readonly kind: "used"; readonly layer: number; readonly buffer: ArrayBuffer }
  | { readonly kind: "done"; readonly layer: number; readonly result: UnpackedLayer }
  | { readonly kind: "failed"; readonly layer: number; readonly code: PullErrorCode; readonly message: string };
