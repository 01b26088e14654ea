import { describe, expect, it } from "vitest";

import { compareTimes, isOlder, keepNewestOfEach } from "./newest";

describe("compareTimes", () => {
  it.each([
    ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", 0],
    ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z", 0],
    ["2026-01-01T00:00:00.1Z", "2026-01-01T00:00:00.099999Z", 1],
    ["2026-01-01T00:00:00.5Z", "2026-01-01T00:00:01Z", -1],
    ["", "2026-01-01T00:00:01Z", -1],
  ])("%s and %s: %d", (a, b, want) => {
    expect(compareTimes(a, b)).toBe(want);
  });
});

describe("isOlder", () => {
  const early = "2026-01-01T00:00:00Z";
  const late = "2026-01-01T00:00:09Z";
  it.each([
    ["an earlier state, whatever the clock says", { state: "CONVERTING", updateTime: late }, { state: "READY", updateTime: early }, true],
    ["a later state, whatever the clock says", { state: "READY", updateTime: early }, { state: "CONVERTING", updateTime: late }, false],
    ["the same state, earlier", { state: "RUNNING", updateTime: early }, { state: "RUNNING", updateTime: late }, true],
    ["the same state, later", { state: "RUNNING", updateTime: late }, { state: "RUNNING", updateTime: early }, false],
    ["the same moment", { state: "RUNNING", updateTime: late }, { state: "RUNNING", updateTime: late }, false],
    ["the first that is known", { state: "RUNNING", updateTime: early }, undefined, false],
  ])("%s", (_, arrived, known, want) => {
    expect(isOlder(arrived, known)).toBe(want);
  });
});

it("keeps of each in a list what is newest, in the order that arrived", () => {
  const known = [{ name: "b", state: "READY" }, { name: "gone", state: "READY" }];
  const arrived = [{ name: "c", state: "UPLOADING" }, { name: "b", state: "CONVERTING" }];
  expect(keepNewestOfEach(known, arrived)).toEqual([{ name: "c", state: "UPLOADING" }, { name: "b", state: "READY" }]);
});
