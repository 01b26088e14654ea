import type { MetricPoint } from "../api/types";
import type { Series } from "../ui/line-chart";

export interface Curves {
  title: string;
  series: Series[];
  /** Whether it tells how learning goes, and not what else the trainer prints. */
  main: boolean;
}

// What tells how learning goes; other metrics follow in the order they were printed.
const first = ["loss", "accuracy"];

/** Metrics as charts: `train:loss` and `validation:loss` become two lines of the chart `loss`. */
export function curves(points: MetricPoint[]): Curves[] {
  const charts = new Map<string, Map<string, Map<number, number>>>();
  for (const point of points) {
    const [channel = "", measure] = (point.name ?? "").split(":");
    // The epoch is what all are drawn over.
    if (measure === undefined || measure === "epoch") {
      continue;
    }
    const lines = charts.get(measure) ?? new Map<string, Map<number, number>>();
    charts.set(measure, lines);
    const line = lines.get(channel) ?? new Map<number, number>();
    lines.set(channel, line);
    // A job that resumes prints the epochs since its checkpoint again: the last word counts.
    line.set(point.epoch ?? 0, point.value ?? 0);
  }
  const titles = [...charts.keys()].sort((a, b) => order(a) - order(b));
  return titles.map((title) => ({
    title,
    main: first.includes(title),
    series: [...(charts.get(title) ?? [])].map(([name, line]) => ({
      name,
      points: [...line].map(([x, y]) => ({ x, y })).sort((a, b) => a.x - b.x),
    })),
  }));
}

function order(title: string): number {
  const at = first.indexOf(title);
  return at < 0 ? first.length : at;
}
