import type { ComponentState } from "../launch/supervise.ts";
import type { Family } from "./exposition.ts";

/** How the guest components are, by their ids. The names are ours: upstream does not look after them. */
export function components(states: ReadonlyMap<string, Readonly<ComponentState>>): readonly Family[] {
  const family = (
    name: string,
    help: string,
    type: Family["type"],
    of: (state: Readonly<ComponentState>) => number,
  ): Family => ({
    name: `kata_agent_component_${name}`,
    help,
    type,
    samples: [...states].map(([component, state]) => ({ labels: { component }, value: of(state) })),
  });
  return [
    family("ready", "Whether a guest component runs and is ready.", "gauge", ({ ready }) => (ready ? 1 : 0)),
    family("restarts_total", "Times that a guest component was started again.", "counter", ({ restarts }) => restarts),
    family(
      "crashes_total",
      "Ends of a guest component other than a good one, and starts that failed.",
      "counter",
      ({ crashes }) => crashes,
    ),
  ];
}
