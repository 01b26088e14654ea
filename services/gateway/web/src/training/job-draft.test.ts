import { describe, expect, it } from "vitest";

import type { Recipe } from "../api/types";
import { jobToSend, newDraft, sharedClasses, tagsOf, withRecipe } from "./job-draft";

const recipe: Recipe = {
  name: "recipes/r",
  inputModes: ["FILE", "FAST_FILE"],
  parameters: [
    { name: "epochs", type: "INTEGER", defaultValue: 5 },
    { name: "rate", type: "FLOAT", defaultValue: 0.1 },
  ],
};
const draft = newDraft(recipe, "datasets/d", "");

describe("jobToSend", () => {
  it("leaves out what the defaults are for", () => {
    expect(jobToSend(draft, recipe, "datasets/d/versions/2")).toEqual({
      recipe: "recipes/r",
      datasetVersion: "datasets/d/versions/2",
      parameters: { epochs: 5, rate: 0.1 },
      resources: {},
    });
  });

  it("sends all that was chosen, minutes as seconds", () => {
    const job = jobToSend(
      {
        ...draft,
        additional: ["datasets/e/versions/1"],
        bases: ["baseDatasets/b"],
        inputMode: "FAST_FILE",
        machine: {
          instanceType: " ml.g5.xlarge ",
          instanceCount: 2,
          sharded: true,
          maxMinutes: 60,
          spot: true,
          maxWaitMinutes: "90",
          keepAliveMinutes: 1.5,
          maxRetries: 3,
          networkIsolation: true,
        },
        tags: "team=vision",
        overrides: ["s3-route"],
      },
      recipe,
      "datasets/d/versions/2",
    );
    expect(job).toMatchObject({
      additionalDatasetVersions: ["datasets/e/versions/1"],
      baseDatasets: ["baseDatasets/b"],
      inputModes: { train: "FAST_FILE", validation: "FAST_FILE", "version-2": "FAST_FILE" },
      resources: {
        instanceType: "ml.g5.xlarge",
        instanceCount: 2,
        distribution: "SHARDED",
        maxRuntimeSeconds: 3600,
        spot: true,
        maxWaitSeconds: 5400,
        keepAliveSeconds: 90,
        maxRetries: 3,
        networkIsolation: true,
      },
      tags: { team: "vision" },
      overrideChecks: ["s3-route"],
    });
  });

  it("waits for spot instances alone", () => {
    const machine = { ...draft.machine, maxWaitMinutes: 90 };
    expect(jobToSend({ ...draft, machine }, recipe, "v").resources).toEqual({});
  });

  it("leaves a sweep its parameters", () => {
    expect(jobToSend(draft, recipe, "v", ["rate"]).parameters).toEqual({ epochs: 5 });
  });
});

it("gives up an input mode that another recipe can't read", () => {
  const piped = { ...draft, inputMode: "FAST_FILE" as const };
  expect(withRecipe(piped, recipe).inputMode).toBe("FAST_FILE");
  expect(withRecipe(piped, { ...recipe, inputModes: ["FILE"] }).inputMode).toBe("");
});

it.each([
  ["", {}],
  ["team=vision, project = digits,", { team: "vision", project: "digits" }],
  ["a=b=c", { a: "b=c" }],
  ["a=", { a: "" }],
  ["vision", undefined],
  ["=vision", undefined],
])("reads the tags %j", (text, want) => {
  expect(tagsOf(text)).toEqual(want);
});

describe("sharedClasses", () => {
  const version = { classes: [{ name: "cat" }, { name: "dog" }] };
  it("joins by name", () => {
    expect(sharedClasses({ labels: ["dog", "eel"] }, version)).toEqual(["dog"]);
  });
  it("isn't known without labels", () => {
    expect(sharedClasses({}, version)).toBeUndefined();
  });
});
