/** Processor generations, by the names that AMD's key distribution service has for them. */
export type SnpGeneration = "Genoa" | "Milan" | "Turin";

/** The generation of a CPU, or undefined for one that is not known (spec trustee 2.5). */
export function generationOf(family: number, model: number): SnpGeneration | undefined {
  if (family === 0x19 && model <= 0x0f) return "Milan";
  if (family === 0x19 && ((model >= 0x10 && model <= 0x1f) || (model >= 0xa0 && model <= 0xae))) return "Genoa";
  if (family === 0x1a && model <= 0x11) return "Turin";
  return undefined;
}
