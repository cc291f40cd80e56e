/** A figure with the labels that tell it from the others of its family. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Figures of one name. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  readonly samples: readonly Sample[];
}

/** Prometheus' text format, version 0.0.4: families by name, samples by their labels. One without samples is left out. */
export function exposition(families: readonly Family[]): string {
  const byName = (a: { readonly name: string }, b: { readonly name: string }): number => (a.name < b.name ? -1 : 1);
  return families
    .filter(({ samples }) => samples.length > 0)
    .toSorted(byName)
    .map(({ name, help, type, samples }) => {
      const lines = samples.map((sample) => `${name}${labelText(sample)} ${sample.value}\n`);
      return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.toSorted().join("")}`;
    })
    .join("");
}

/** Samples that one label tells apart. */
export function itemized(items: readonly (readonly [item: string, value: number])[]): readonly Sample[] {
  return items.map(([item, value]) => ({ labels: { item }, value }));
}

function labelText({ labels }: Sample): string {
  const pairs = Object.entries(labels)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

/** Paths and names of interfaces may hold anything. */
function escaped(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
