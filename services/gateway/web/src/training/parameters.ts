import type { Parameter, Recipe } from "../api/types";

/** What a form field holds; a number field that is being typed in holds text. */
export type Value = string | number | boolean;

/** Whether a number has limits: proto3 leaves zeros out, so equal limits mean none. */
export function hasRange(parameter: Parameter): boolean {
  return (parameter.minimum ?? 0) < (parameter.maximum ?? 0);
}

/** The recipe's defaults by name. */
export function defaultsOf(recipe: Recipe | undefined): Record<string, Value> {
  return Object.fromEntries(
    (recipe?.parameters ?? []).map((parameter) => {
      const value = parameter.defaultValue;
      const known = typeof value === "string" || typeof value === "number" || typeof value === "boolean";
      return [parameter.name ?? "", known ? value : parameter.type === "BOOLEAN" ? false : ""];
    }),
  );
}

/** What is wrong with a value, in words; undefined when nothing is. An empty field means the default. */
export function problemWith(parameter: Parameter, value: Value | undefined): string | undefined {
  if (value === undefined || value === "" || (parameter.type !== "INTEGER" && parameter.type !== "FLOAT")) {
    return undefined;
  }
  const number = Number(value);
  if (!Number.isFinite(number)) {
    return "Enter a number";
  }
  if (parameter.type === "INTEGER" && !Number.isInteger(number)) {
    return "Enter a whole number";
  }
  const { minimum = 0, maximum = 0 } = parameter;
  if (hasRange(parameter) && (number < minimum || number > maximum)) {
    return `Enter a number from ${minimum} to ${maximum}`;
  }
  return undefined;
}

/** The parameters to send. Empty fields are left out, so that the recipe's default holds. */
export function parametersToSend(recipe: Recipe, values: Record<string, Value>): Record<string, Value> {
  const sent: Record<string, Value> = {};
  for (const parameter of recipe.parameters ?? []) {
    const name = parameter.name ?? "";
    const value = values[name];
    if (value !== undefined && value !== "") {
      sent[name] = parameter.type === "INTEGER" || parameter.type === "FLOAT" ? Number(value) : value;
    }
  }
  return sent;
}
