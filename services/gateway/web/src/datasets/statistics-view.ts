import type { ClassStatistics, CountStatistics, NumberStatistics, Statistics, Tally } from "../api/types";
import { bytes, count, duration, metric } from "../ui/format";

/** A numeric property as a histogram shows it. */
export interface NumberView {
  title: string;
  min: number;
  low: number;
  median: number;
  high: number;
  max: number;
  mean: number;
  count: number;
  bins: number[];
  text: (value: number) => string;
}

const percent = (value: number) => `${Number((value * 100).toPrecision(3))} %`;
const pixels = (value: number) => `${metric(value)} px`;

// In the order in which they are shown.
const numberNames: Readonly<Record<string, { title: string; text: (value: number) => string; whole?: boolean }>> = {
  width: { title: "Width", text: pixels, whole: true },
  height: { title: "Height", text: pixels, whole: true },
  aspect: { title: "Width by height", text: metric },
  duration_seconds: { title: "Length", text: duration },
  file_bytes: { title: "File size", text: bytes },
  objects: { title: "Objects in a picture", text: metric, whole: true },
  box_area: { title: "Box area, of its picture", text: percent },
};
const shownFirst = Object.keys(numberNames);

const countNames: Readonly<Record<string, string>> = {
  encoding: "Encoding",
  channels: "Channels",
  orientation: "Orientation by EXIF",
  validation: "How files were looked at",
  pictures: "Pictures in a file",
  sample_rate: "Samples a second",
  bit_depth: "Bits of a sample",
  declared_length: "Declared length",
  boxes: "Boxes",
  stated_size: "Stated size of pictures",
};

// Counts by column: how many examples have the like in it.
const byColumn: Readonly<Record<string, string>> = {
  missing: "Missing values by column",
  infinite: "Infinite numbers by column",
  rounded: "Rounded numbers by column",
};

// Their numbers and counts are columns, whatever the columns are called.
const onlyColumns = new Set(["csv", "jsonl"]);

/** The numeric properties, in words. */
export function numbersOf(statistics: Statistics, format: string): NumberView[] {
  const numbers = statistics.numbers ?? [];
  if (onlyColumns.has(format)) {
    return numbers.map((number) => numberOf(number, undefined));
  }
  const place = ({ name = "" }: NumberStatistics) => (name in numberNames ? shownFirst.indexOf(name) : shownFirst.length);
  return numbers.toSorted((a, b) => place(a) - place(b)).map((number) => numberOf(number, numberNames[number.name ?? ""]));
}

function numberOf(number: NumberStatistics, known: (typeof numberNames)[string] | undefined): NumberView {
  const { name = "", min = 0, max = 0, mean = 0, quantiles = [], histogram = [] } = number;
  const [low = min, , median = mean, , high = max] = quantiles;
  // Quantiles are right to 1.6 %: they may lie a little outside, or beside a whole number.
  const within = (value: number) => Math.min(max, Math.max(min, known?.whole === true ? Math.round(value) : value));
  return {
    title: known?.title ?? name,
    text: known?.text ?? metric,
    min,
    low: within(low),
    median: within(median),
    high: within(high),
    max,
    mean,
    count: Number(number.count ?? 0),
    bins: histogram.map(Number),
  };
}

/** A property that has few values, and how often each is there. */
export interface CountView {
  title: string;
  rows: { name: string; value: number; text?: string }[];
}

/** The properties that have few values, in words. What is counted by column is also told as a share of the examples. */
export function countsOf(statistics: Statistics, format: string): CountView[] {
  const examples = (statistics.splits ?? []).reduce((sum, split) => sum + Number(split.exampleCount ?? 0), 0);
  return (statistics.counts ?? []).map(({ name = "", values = [] }: CountStatistics) => ({
    title: byColumn[name] ?? (onlyColumns.has(format) ? name : (countNames[name] ?? name)),
    rows: values.map(({ value = "", count: many }) => {
      const row = { name: value, value: Number(many ?? 0) };
      return name in byColumn && examples > 0 ? { ...row, text: percent(row.value / examples) } : row;
    }),
  }));
}

/** A class as its row shows it. */
export interface ClassView {
  name: string;
  examples: number;
  objects: number;
  /** Examples in each split; empty where examples have no class of their own. */
  bySplit: number[];
}

/** The classes; of examples with objects, such as boxes, it is the objects that have one. */
export function classesOf(statistics: Statistics): ClassView[] {
  const classes = statistics.classes ?? [];
  const withLabels = classes.some((one) => Number(one.exampleCount ?? 0) > 0);
  return classes.map(({ name = "", exampleCount, objectCount, bySplit = [] }: ClassStatistics) => ({
    name,
    examples: Number(exampleCount ?? 0),
    objects: Number(objectCount ?? 0),
    bySplit: withLabels ? bySplit.map(Number) : [],
  }));
}

/** What was found, and what became of it; only of what there is. */
export function accountOf({ found = {}, kept = {}, leftOut = {} }: Statistics): { what: string; found: number; kept: number; leftOut: number }[] {
  const rows = (["files", "rows", "annotations"] as const).map((kind) => ({
    what: `${kind.charAt(0).toUpperCase()}${kind.slice(1)}`,
    found: Number(found[kind] ?? 0),
    kept: Number(kept[kind] ?? 0),
    leftOut: Number(leftOut[kind] ?? 0),
  }));
  return rows.filter((row) => row.found > 0);
}

/** `3 files and 1 annotation`; empty when there is nothing. */
export function tallyInWords(counts: Tally): string {
  const parts = (["file", "row", "annotation"] as const).flatMap((kind) => {
    const value = Number(counts[`${kind}s`] ?? 0);
    return value === 0 ? [] : [`${count(value)} ${kind}${value === 1 ? "" : "s"}`];
  });
  return parts.length > 1 ? `${parts.slice(0, -1).join(", ")} and ${parts.at(-1) ?? ""}` : (parts[0] ?? "");
}

/** `truncated image` of `TRUNCATED_IMAGE`. */
export function reasonInWords(reason: string): string {
  return reason.toLowerCase().replaceAll("_", " ");
}
