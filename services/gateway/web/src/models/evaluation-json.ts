export interface ClassScore {
  label: string;
  precision: number;
  recall: number;
  f1: number;
  support: number;
}

/** What the trainer's evaluation.json holds, as far as the page shows it. */
export interface Evaluation {
  labels: string[];
  /** Rows are true classes, columns predicted ones. */
  confusion: number[][];
  perClass: ClassScore[];
}

/**
 * Reads evaluation.json. It comes from the training program, which may be the user's own: what doesn't have
 * the form is left out. Undefined when there is no confusion matrix.
 */
export function evaluationOf(json: unknown, modelLabels: readonly string[]): Evaluation | undefined {
  const { labels, confusion_matrix: matrix, per_class: perClass } = (json ?? {}) as Record<string, unknown>;
  const isMatrix = Array.isArray(matrix) && matrix.every((row) => Array.isArray(row) && row.every(isNumber));
  if (!isMatrix || matrix.length === 0) {
    return undefined;
  }
  const names = Array.isArray(labels) ? labels.map(String) : modelLabels;
  return {
    labels: matrix.map((_, index) => names[index] ?? String(index)),
    confusion: matrix,
    perClass: Array.isArray(perClass) ? perClass.filter(isScore) : [],
  };
}

function isNumber(value: unknown): value is number {
  return typeof value === "number";
}

function isScore(value: unknown): value is ClassScore {
  const score = (value ?? {}) as Record<string, unknown>;
  return typeof score.label === "string" && [score.precision, score.recall, score.f1, score.support].every(isNumber);
}
