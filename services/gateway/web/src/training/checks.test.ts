import { expect, it } from "vitest";

import { blocking, bySeen, groupChecks } from "./checks";

const checks = [
  { check: "a", status: "SKIPPED", seen: "no access to EC2" },
  { check: "b", status: "FAIL" },
  { check: "c", status: "SKIPPED", seen: "no KMS key" },
  { check: "d", status: "SKIPPED", seen: "no access to EC2" },
  { check: "e", status: "WARN" },
] as const;

it("groups checks, failures first, and leaves empty groups out", () => {
  const found = groupChecks(checks).map(({ status, checks: list }) => [status, list.map((one) => one.check)]);
  expect(found).toEqual([
    ["FAIL", ["b"]],
    ["WARN", ["e"]],
    ["SKIPPED", ["a", "c", "d"]],
  ]);
});

it("tells skipped checks of one reason together", () => {
  const skipped = checks.filter((one) => one.status === "SKIPPED");
  expect(bySeen(skipped).map(({ seen, checks: list }) => [seen, list.map((one) => one.check)])).toEqual([
    ["no access to EC2", ["a", "d"]],
    ["no KMS key", ["c"]],
  ]);
});

it("is not blocked by what is overridden", () => {
  expect(blocking(checks, []).map((one) => one.check)).toEqual(["b"]);
  expect(blocking(checks, ["b"])).toEqual([]);
});
