import type { CheckResult } from "../api/types";

export interface CheckGroup {
  status: "FAIL" | "WARN" | "PASS" | "SKIPPED";
  title: string;
  checks: CheckResult[];
}

const groups = [
  { status: "FAIL", title: "failed" },
  { status: "WARN", title: "to look at" },
  { status: "PASS", title: "passed" },
  { status: "SKIPPED", title: "skipped" },
] as const;

/** Checks by how they ended, what must be mended first. Groups that are empty are left out. */
export function groupChecks(checks: readonly CheckResult[]): CheckGroup[] {
  return groups
    .map(({ status, title }) => ({ status, title, checks: checks.filter((one) => one.status === status) }))
    .filter((group) => group.checks.length > 0);
}

/** Skipped checks of one reason are told together: what was not looked at, and why. */
export function bySeen(checks: readonly CheckResult[]): { seen: string; checks: CheckResult[] }[] {
  const found = new Map<string, CheckResult[]>();
  for (const check of checks) {
    found.set(check.seen ?? "", [...(found.get(check.seen ?? "") ?? []), check]);
  }
  return [...found].map(([seen, same]) => ({ seen, checks: same }));
}

/** Failures that keep the job from being made. */
export function blocking(checks: readonly CheckResult[], overrides: readonly string[]): CheckResult[] {
  return checks.filter(({ status, check = "" }) => status === "FAIL" && !overrides.includes(check));
}
