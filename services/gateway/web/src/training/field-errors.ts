import { ApiError } from "../api/errors";

/** Errors by the field they are of, such as `resources.spot`, `base_datasets` or `parameters.epochs`. */
export type FieldErrors = Readonly<Record<string, string>>;

/** The fields that errors of the API name, as paths within the training job or, for a sweep's own, within `sweep`. */
export function fieldErrors(...errors: unknown[]): FieldErrors {
  const found: Record<string, string> = {};
  for (const error of errors) {
    const field = error instanceof ApiError ? error.metadata.field : undefined;
    if (field !== undefined && field !== "") {
      found[fieldOf(field)] ??= (error as ApiError).message;
    }
  }
  return found;
}

/** `sweep.training_job.base_datasets[0]` is the field `base_datasets`, and so is `baseDatasets[0]`, as JSON that can't be read names it. */
function fieldOf(path: string): string {
  const snake = path.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const field = snake.replace(/^(sweep\.)?training_job\./, "").replace(/\[\d+\].*$/, "");
  return field.startsWith("input_modes") ? "input_modes" : field;
}

/** Whether an error is of a field below the path, such as `resources`. */
export function hasErrorBelow(errors: FieldErrors, path: string): boolean {
  return Object.keys(errors).some((field) => field.startsWith(`${path}.`));
}
