import { NativeSelect, NumberInput, Switch, TextInput } from "@mantine/core";

import type { Parameter } from "../api/types";
import { hasRange, type Value } from "./parameters";

/** One parameter of a recipe as a form field. */
export function ParameterField({
  parameter,
  value,
  error,
  onChange,
}: {
  parameter: Parameter;
  value: Value;
  error: string | undefined;
  onChange: (value: Value) => void;
}) {
  const { name = "", displayName = "", description = "" } = parameter;
  const label = displayName === "" ? name : displayName;
  switch (parameter.type) {
    case "INTEGER":
    case "FLOAT": {
      const range = hasRange(parameter) ? ` From ${parameter.minimum ?? 0} to ${parameter.maximum ?? 0}.` : "";
      return (
        <NumberInput
          label={label}
          description={description + range}
          value={typeof value === "boolean" ? "" : value}
          error={error}
          allowDecimal={parameter.type === "FLOAT"}
          decimalScale={12}
          clampBehavior="none"
          onChange={onChange}
        />
      );
    }
    case "BOOLEAN":
      return (
        <Switch
          label={label}
          description={description}
          checked={value === true}
          error={error}
          onChange={(event) => onChange(event.currentTarget.checked)}
        />
      );
    case "CHOICE":
      return (
        <NativeSelect
          label={label}
          description={description}
          data={parameter.choices ?? []}
          value={String(value)}
          error={error}
          onChange={(event) => onChange(event.currentTarget.value)}
        />
      );
    default:
      return (
        <TextInput
          label={label}
          description={description}
          value={String(value)}
          error={error}
          onChange={(event) => onChange(event.currentTarget.value)}
        />
      );
  }
}
