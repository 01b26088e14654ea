import type { Parameter, Sweep, SweepRange, TrainingJob } from "../api/types";
import type { Entered } from "../training/job-draft";
import { problemWith, type Value } from "../training/parameters";

/** A parameter that differs between trials: by values, or by a range of numbers. */
export interface Axis {
  name: string;
  by: "values" | "range";
  /** Values with commas between. */
  values: string;
  minimum: Entered;
  maximum: Entered;
  /** On a grid; empty means 3. */
  steps: Entered;
  logarithmic: boolean;
}

/** What the form holds of a sweep beside its training job. */
export interface SweepDraft {
  axes: Axis[];
  strategy: "GRID" | "RANDOM";
  maxTrials: Entered;
  parallel: Entered;
  objective: string;
  goal: "GOAL_UNSPECIFIED" | "MAXIMIZE" | "MINIMIZE";
}

export const newSweepDraft: SweepDraft = {
  axes: [],
  strategy: "GRID",
  maxTrials: "",
  parallel: "",
  objective: "",
  goal: "GOAL_UNSPECIFIED",
};

/** An axis of a parameter as it is first shown: all choices, or a range to be filled in. */
export function newAxis(parameter: Parameter): Axis {
  const ranged = parameter.type === "INTEGER" || parameter.type === "FLOAT";
  const all = parameter.type === "BOOLEAN" ? ["true", "false"] : (parameter.choices ?? []);
  return {
    name: parameter.name ?? "",
    by: "values",
    values: ranged ? "" : all.join(", "),
    minimum: "",
    maximum: "",
    steps: "",
    logarithmic: false,
  };
}

/** The values of an axis as the API takes them. */
export function valuesOf(parameter: Parameter, text: string): Value[] {
  const words = text.split(",").map((word) => word.trim());
  return words.filter((word) => word !== "").map((word) => valueOf(parameter, word));
}

function valueOf(parameter: Parameter, word: string): Value {
  switch (parameter.type) {
    case "INTEGER":
    case "FLOAT":
      return Number(word);
    case "BOOLEAN":
      return word === "true" ? true : word === "false" ? false : word;
    default:
      return word;
  }
}

/** What is wrong with an axis, in words; undefined when nothing is. */
export function problemWithAxis(parameter: Parameter, axis: Axis): string | undefined {
  if (axis.by === "range") {
    if (axis.minimum === "" || axis.maximum === "") {
      return "Enter the least and the greatest value";
    }
    if (Number(axis.minimum) >= Number(axis.maximum)) {
      return "The least value must be below the greatest";
    }
    if (axis.logarithmic && Number(axis.minimum) <= 0) {
      return "A logarithmic range begins above 0";
    }
    return problemWith(parameter, axis.minimum) ?? problemWith(parameter, axis.maximum);
  }
  const values = valuesOf(parameter, axis.values);
  if (values.length === 0) {
    return "Enter values with commas between";
  }
  if (new Set(values).size < values.length) {
    return "A value is there twice";
  }
  if (parameter.type === "BOOLEAN" && values.some((value) => typeof value !== "boolean")) {
    return "Enter true, false or both";
  }
  if (parameter.type === "CHOICE" && !values.every((value) => parameter.choices?.includes(String(value)))) {
    return `Enter some of ${(parameter.choices ?? []).join(", ")}`;
  }
  return values.map((value) => problemWith(parameter, value)).find((problem) => problem !== undefined);
}

const defaultSteps = 3;
const defaultRandomTrials = 20;

/** How many trials a sweep would have, at most: a grid of whole numbers may have fewer. */
export function trialsOf(draft: SweepDraft, parameters: readonly Parameter[]): number {
  const most = Number(draft.maxTrials);
  if (draft.strategy === "RANDOM") {
    return most > 0 ? most : defaultRandomTrials;
  }
  const grid = draft.axes.reduce((product, axis) => product * pointsOf(axis, parameters), draft.axes.length > 0 ? 1 : 0);
  return most > 0 ? Math.min(most, grid) : grid;
}

function pointsOf(axis: Axis, parameters: readonly Parameter[]): number {
  if (axis.by === "range") {
    return Number(axis.steps) > 0 ? Number(axis.steps) : defaultSteps;
  }
  const parameter = parameters.find(({ name }) => name === axis.name);
  return parameter === undefined ? 0 : valuesOf(parameter, axis.values).length;
}

/** The sweep to send, of a job that leaves out what differs. */
export function sweepToSend(draft: SweepDraft, parameters: readonly Parameter[], trainingJob: TrainingJob): Sweep {
  const sweep: Sweep = {
    trainingJob,
    parameters: Object.fromEntries(
      draft.axes.map((axis) => [axis.name, rangeOf(axis, parameters.find(({ name }) => name === axis.name) ?? {})]),
    ),
    strategy: draft.strategy,
    goal: draft.goal,
  };
  if (Number(draft.maxTrials) > 0) {
    sweep.maxTrials = Number(draft.maxTrials);
  }
  if (Number(draft.parallel) > 0) {
    sweep.parallelTrials = Number(draft.parallel);
  }
  if (draft.objective !== "") {
    sweep.objectiveMetric = draft.objective;
  }
  return sweep;
}

function rangeOf(axis: Axis, parameter: Parameter): SweepRange {
  if (axis.by === "values") {
    return { values: valuesOf(parameter, axis.values) };
  }
  return {
    minimum: Number(axis.minimum),
    maximum: Number(axis.maximum),
    ...(axis.logarithmic && { logarithmic: true }),
    ...(Number(axis.steps) > 0 && { steps: Number(axis.steps) }),
  };
}
