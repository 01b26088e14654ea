import { describe, expect, it } from "vitest";

import type { Parameter } from "../api/types";
import { type Axis, newAxis, newSweepDraft, problemWithAxis, sweepToSend, trialsOf } from "./sweep-draft";

const epochs: Parameter = { name: "epochs", type: "INTEGER", minimum: 1, maximum: 10 };
const rate: Parameter = { name: "rate", type: "FLOAT", minimum: 0.0001, maximum: 1 };
const augment: Parameter = { name: "augment", type: "BOOLEAN" };
const colours: Parameter = { name: "colours", type: "CHOICE", choices: ["grey", "rgb"] };
const all = [epochs, rate, augment, colours];

const by = (parameter: Parameter, part: Partial<Axis>): Axis => ({ ...newAxis(parameter), ...part });

it("begins with all that a parameter can be, where that is a list", () => {
  expect(all.map((parameter) => newAxis(parameter).values)).toEqual(["", "", "true, false", "grey, rgb"]);
});

describe("problemWithAxis", () => {
  it.each([
    [epochs, { values: "1, 2,4" }, undefined],
    [epochs, { values: "" }, "Enter values with commas between"],
    [epochs, { values: "1, x" }, "Enter a number"],
    [epochs, { values: "1, 11" }, "Enter a number from 1 to 10"],
    [epochs, { values: "2, 2.0" }, "A value is there twice"],
    [augment, { values: "true, perhaps" }, "Enter true, false or both"],
    [colours, { values: "rgb, blue" }, "Enter some of grey, rgb"],
    [rate, { by: "range", minimum: 0.001, maximum: 0.1 }, undefined],
    [rate, { by: "range", minimum: "", maximum: 0.1 }, "Enter the least and the greatest value"],
    [rate, { by: "range", minimum: 0.2, maximum: 0.1 }, "The least value must be below the greatest"],
    [rate, { by: "range", minimum: 0, maximum: 0.1, logarithmic: true }, "A logarithmic range begins above 0"],
    [rate, { by: "range", minimum: 0.001, maximum: 2 }, "Enter a number from 0.0001 to 1"],
  ] as const)("%o %o: %s", (parameter, part, want) => {
    expect(problemWithAxis(parameter, by(parameter, part))).toBe(want);
  });
});

describe("trialsOf", () => {
  const axes = [by(epochs, { values: "1, 2" }), by(rate, { by: "range", minimum: 0.001, maximum: 0.1 })];
  it("multiplies on a grid", () => {
    expect(trialsOf({ ...newSweepDraft, axes }, all)).toBe(6);
  });
  it("draws as many as asked for by chance", () => {
    expect(trialsOf({ ...newSweepDraft, axes, strategy: "RANDOM" }, all)).toBe(20);
    expect(trialsOf({ ...newSweepDraft, axes, strategy: "RANDOM", maxTrials: 7 }, all)).toBe(7);
  });
  it("is bounded", () => {
    expect(trialsOf({ ...newSweepDraft, axes, maxTrials: 4 }, all)).toBe(4);
  });
  it("has none of nothing", () => {
    expect(trialsOf(newSweepDraft, all)).toBe(0);
  });
});

it("sends values by the parameter's type, and ranges with what differs from the default", () => {
  const axes = [
    by(epochs, { values: "1, 2" }),
    by(augment, {}),
    by(rate, { by: "range", minimum: 0.001, maximum: 0.1, logarithmic: true, steps: "4" }),
  ];
  const job = { recipe: "recipes/r" };
  expect(sweepToSend({ ...newSweepDraft, axes, parallel: 2, objective: "validation:loss", goal: "MINIMIZE" }, all, job)).toEqual({
    trainingJob: job,
    parameters: {
      epochs: { values: [1, 2] },
      augment: { values: [true, false] },
      rate: { minimum: 0.001, maximum: 0.1, logarithmic: true, steps: 4 },
    },
    strategy: "GRID",
    goal: "MINIMIZE",
    parallelTrials: 2,
    objectiveMetric: "validation:loss",
  });
});
