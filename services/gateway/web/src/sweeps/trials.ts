import type { Sweep, SweepRange, Trial } from "../api/types";
import { metric } from "../ui/format";
import type { Series } from "../ui/line-chart";

/** The parameters that differ, in the order of the table's columns. */
export function sweptNames(sweep: Sweep): string[] {
  return Object.keys(sweep.parameters ?? {}).sort();
}

/** A value of a parameter as a table shows it. */
export function valueText(value: unknown): string {
  return typeof value === "number" ? metric(value) : typeof value === "string" ? value : JSON.stringify(value);
}

/** `1, 2, 4` or `0.001 to 0.1, logarithmic`. */
export function rangeText({ values = [], minimum = 0, maximum = 0, logarithmic }: SweepRange): string {
  if (values.length > 0) {
    return values.map(valueText).join(", ");
  }
  return `${metric(minimum)} to ${metric(maximum)}${logarithmic ? ", logarithmic" : ""}`;
}

/** Each trial's value of the objective, and the best of all trials up to it. */
export function valuesByTrial(trials: readonly Trial[], maximize: boolean): Series[] {
  const told = trials
    .filter((trial) => trial.hasValue)
    .map((trial) => ({ x: trial.number ?? 0, y: trial.value ?? 0 }));
  let best: number | undefined;
  const bestSoFar = told.map(({ x, y }) => {
    best = best === undefined ? y : maximize ? Math.max(best, y) : Math.min(best, y);
    return { x, y: best };
  });
  return [
    { name: "trial", points: told, dots: true },
    { name: "best so far", points: bestSoFar },
  ];
}
