import { describe, expect, it } from "vitest";

import type { Parameter, Recipe } from "../api/types";
import { defaultsOf, parametersToSend, problemWith } from "./parameters";

const epochs: Parameter = { name: "epochs", type: "INTEGER", minimum: 1, maximum: 100, defaultValue: 5 };
const rate: Parameter = { name: "learning_rate", type: "FLOAT", maximum: 1, defaultValue: 0.001 };
const augment: Parameter = { name: "augment", type: "BOOLEAN", defaultValue: true };
const optimizer: Parameter = { name: "optimizer", type: "CHOICE", choices: ["adam", "sgd"], defaultValue: "adam" };
const free: Parameter = { name: "free", type: "FLOAT" };
const recipe: Recipe = { name: "recipes/r", parameters: [epochs, rate, augment, optimizer] };

describe("a recipe's parameters", () => {
  it("begin with the defaults", () => {
    expect(defaultsOf(recipe)).toEqual({ epochs: 5, learning_rate: 0.001, augment: true, optimizer: "adam" });
  });

  it.each([
    [epochs, 1, undefined],
    [epochs, 0, "Enter a number from 1 to 100"],
    [epochs, "2.5", "Enter a whole number"],
    [epochs, "-", "Enter a number"],
    [epochs, "", undefined],
    [rate, 0, undefined],
    [rate, 1.5, "Enter a number from 0 to 1"],
    [free, -1e9, undefined],
    [augment, false, undefined],
  ])("%o with %s: %s", (parameter, value, problem) => {
    expect(problemWith(parameter, value)).toBe(problem);
  });

  it("are sent as numbers, without the empty ones", () => {
    expect(parametersToSend(recipe, { epochs: "3", learning_rate: "", augment: false, optimizer: "sgd" })).toEqual({
      epochs: 3,
      augment: false,
      optimizer: "sgd",
    });
  });
});
