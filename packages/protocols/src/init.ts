type InitValue<V> = V extends bigint
  ? bigint | number
  : V extends Uint8Array
    ? Uint8Array
    : V extends readonly (infer E)[]
      ? readonly InitValue<E>[]
      : V extends object
        ? string extends keyof V
          ? { readonly [K in keyof V]: InitValue<V[K]> }
          : Init<V>
        : V;

/**
 * What encoders accept for a message: any part of it, absent (or null) meaning the default. A 64-bit field also takes a
 * safe integer.
 */
export type Init<T> = { readonly [K in keyof T]?: InitValue<T[K]> | null | undefined };
