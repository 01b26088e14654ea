import { expect, it } from "vitest";

import { ApiError, UnreachableError } from "../api/errors";
import { fieldErrors, hasErrorBelow } from "./field-errors";

const refused = (field: string) =>
  new ApiError(400, {
    message: "No.",
    details: [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason: "FIELD_INVALID", metadata: { field } }],
  });

it.each([
  ["training_job.resources.keep_alive_seconds", "resources.keep_alive_seconds"],
  ["training_job.base_datasets[0]", "base_datasets"],
  ["training_job.input_modes.train", "input_modes"],
  ["sweep.training_job.parameters.epochs", "parameters.epochs"],
  ["sweep.parameters.epochs", "sweep.parameters.epochs"],
  ["resources.instanceCount", "resources.instance_count"],
])("%s is the field %s", (path, field) => {
  expect(fieldErrors(refused(path))).toEqual({ [field]: "No." });
});

it("knows no field of other errors", () => {
  expect(fieldErrors(null, new UnreachableError(undefined), new ApiError(500, undefined))).toEqual({});
});

it("finds errors below a path", () => {
  expect(hasErrorBelow({ "resources.spot": "No." }, "resources")).toBe(true);
  expect(hasErrorBelow({ resources: "No." }, "resources.spot")).toBe(false);
});
