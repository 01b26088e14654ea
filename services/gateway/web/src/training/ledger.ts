import type { Attempt, Estimate, Ledger } from "../api/types";

/** A line of the account: what was expected and what it came to, in seconds. */
export interface Line {
  name: string;
  /** The colour that bars have for it; empty for sums. */
  shade: string;
  expected: number | undefined;
  actual: number;
}

/** Phases of the ledger in the order a job goes through them, with the colours of SageMaker's own phases. */
export const phases = [
  { key: "queueSeconds", name: "Queue", shade: "var(--mantine-color-gray-5)" },
  { key: "downloadSeconds", name: "Download", shade: "var(--mantine-color-indigo-5)" },
  { key: "trainSeconds", name: "Train", shade: "var(--mantine-color-cyan-6)" },
  { key: "uploadSeconds", name: "Upload", shade: "var(--mantine-color-grape-5)" },
  { key: "otherSeconds", name: "Other", shade: "var(--mantine-color-gray-6)" },
] as const;

/** The estimate beside what it came to. What took no time and was not expected is left out. */
export function account(ledger: Ledger, estimate: Estimate | undefined): Line[] {
  const lines: Line[] = phases.map(({ key, name, shade }) => ({
    name,
    shade,
    expected: key === "otherSeconds" ? undefined : estimate && (estimate[key] ?? 0),
    actual: ledger[key] ?? 0,
  }));
  return [
    ...lines.filter((line) => line.name !== "Other" || line.actual > 0),
    { name: "In all", shade: "", expected: estimate && (estimate.totalSeconds ?? 0), actual: ledger.totalSeconds ?? 0 },
    { name: "Billed", shade: "", expected: estimate && (estimate.billedSeconds ?? 0), actual: Number(ledger.billedSeconds ?? 0) },
  ];
}

/** Seconds of an attempt in all. */
export function attemptSeconds(attempt: Attempt): number {
  return phases.reduce((sum, { key }) => sum + (attempt[key] ?? 0), 0);
}
