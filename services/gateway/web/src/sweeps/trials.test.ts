import { describe, expect, it } from "vitest";

import { rangeText, valuesByTrial, valueText } from "./trials";

describe("valuesByTrial", () => {
  const trials = [
    { number: 1, value: 0.5, hasValue: true },
    { number: 2, value: 0, hasValue: false },
    { number: 3, value: 0.3, hasValue: true },
    { number: 4, value: 0.8, hasValue: true },
  ];
  const bestOf = (maximize: boolean) => valuesByTrial(trials, maximize)[1]?.points.map(({ y }) => y);

  it("leaves out trials that told none", () => {
    expect(valuesByTrial(trials, true)[0]?.points.map(({ x }) => x)).toEqual([1, 3, 4]);
  });
  it("keeps the best by the goal", () => {
    expect(bestOf(true)).toEqual([0.5, 0.5, 0.8]);
    expect(bestOf(false)).toEqual([0.5, 0.3, 0.3]);
  });
});

it.each([
  [0.0001, "0.0001"],
  [0.123456, "0.1235"],
  ["rgb", "rgb"],
  [true, "true"],
])("shows the value %j as %s", (value, want) => {
  expect(valueText(value)).toBe(want);
});

it.each([
  [{ values: [1, 2] }, "1, 2"],
  [{ values: [], minimum: 0.001, maximum: 0.1, logarithmic: true }, "0.001 to 0.1, logarithmic"],
  [{ minimum: 0, maximum: 1 }, "0 to 1"],
])("shows the range %j as %s", (range, want) => {
  expect(rangeText(range)).toBe(want);
});
