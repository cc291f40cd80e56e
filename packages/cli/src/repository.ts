import { resolve } from "node:path";

/**
 * The repository that this package lies in: what it builds is found from here. Sources, compiled files and the bundle lie
 * equally deep in the package, and this file in the first folder below it.
 */
export const REPOSITORY: string = resolve(import.meta.dirname, "../../..");
