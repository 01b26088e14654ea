import { Button, Group, NativeSelect, NumberInput, Stack, Switch, Text, TextInput } from "@mantine/core";

import type { Parameter, Recipe } from "../api/types";
import type { FieldErrors } from "../training/field-errors";
import { type Axis, newAxis, problemWithAxis, type SweepDraft, trialsOf } from "./sweep-draft";

/** What differs between a sweep's trials, and how the best is found. */
export function SweepFields({ draft, onChange, recipe, errors }: {
  draft: SweepDraft;
  onChange: (draft: SweepDraft) => void;
  recipe: Recipe;
  errors: FieldErrors;
}) {
  const change = (part: Partial<SweepDraft>) => onChange({ ...draft, ...part });
  const parameters = recipe.parameters ?? [];
  const free = parameters.filter(({ name }) => !draft.axes.some((axis) => axis.name === name));
  const trials = trialsOf(draft, parameters);
  const metrics = recipe.metrics ?? [];
  return (
    <Stack gap="sm">
      {draft.axes.map((axis) => {
        const parameter = parameters.find(({ name }) => name === axis.name);
        return (
          parameter && (
            <AxisFields
              key={axis.name}
              parameter={parameter}
              axis={axis}
              error={errors[`sweep.parameters.${axis.name}`]}
              onChange={(next) => change({ axes: draft.axes.map((one) => (one.name === axis.name ? next : one)) })}
              onRemove={() => change({ axes: draft.axes.filter((one) => one.name !== axis.name) })}
            />
          )
        );
      })}
      {free.length > 0 && draft.axes.length < 10 && (
        <NativeSelect
          label="Sweep a parameter"
          data={[{ value: "", label: "Choose…" }, ...free.map((one) => ({ value: one.name ?? "", label: nameOf(one) }))]}
          value=""
          error={errors["sweep.parameters"]}
          onChange={(event) => {
            const parameter = free.find(({ name }) => name === event.currentTarget.value);
            if (parameter) {
              change({ axes: [...draft.axes, newAxis(parameter)] });
            }
          }}
        />
      )}
      <Text size="xs" c="dimmed">
        A grid tries every combination; random draws combinations by chance, never the same twice.
      </Text>
      <div className="pair">
        <NativeSelect
          label="Strategy"
          data={[
            { value: "GRID", label: "Grid" },
            { value: "RANDOM", label: "Random" },
          ]}
          value={draft.strategy}
          onChange={(event) => change({ strategy: event.currentTarget.value as SweepDraft["strategy"] })}
        />
        <NumberInput
          label="Trials at most"
          placeholder={draft.strategy === "RANDOM" ? "20" : "the whole grid"}
          min={1}
          max={1000}
          allowDecimal={false}
          value={draft.maxTrials}
          error={errors["sweep.max_trials"]}
          onChange={(maxTrials) => change({ maxTrials })}
        />
        <NumberInput
          label="At a time"
          placeholder="2"
          min={1}
          max={100}
          allowDecimal={false}
          value={draft.parallel}
          error={errors["sweep.parallel_trials"]}
          onChange={(parallel) => change({ parallel })}
        />
        <NativeSelect
          label="Objective"
          data={metrics}
          value={draft.objective === "" ? (recipe.objectiveMetric ?? "") : draft.objective}
          error={errors["sweep.objective_metric"]}
          onChange={(event) => change({ objective: event.currentTarget.value })}
        />
        <NativeSelect
          label="Goal"
          data={[
            { value: "GOAL_UNSPECIFIED", label: "As usual for it" },
            { value: "MAXIMIZE", label: "Maximize" },
            { value: "MINIMIZE", label: "Minimize" },
          ]}
          value={draft.goal}
          onChange={(event) => change({ goal: event.currentTarget.value as SweepDraft["goal"] })}
        />
      </div>
      <Text size="sm" role="status">
        {trials === 0 ? "Choose a parameter that differs between trials." : `${trials} ${trials === 1 ? "trial" : "trials"}`}
      </Text>
    </Stack>
  );
}

function AxisFields({ parameter, axis, error, onChange, onRemove }: {
  parameter: Parameter;
  axis: Axis;
  error: string | undefined;
  onChange: (axis: Axis) => void;
  onRemove: () => void;
}) {
  const change = (part: Partial<Axis>) => onChange({ ...axis, ...part });
  const numeric = parameter.type === "INTEGER" || parameter.type === "FLOAT";
  const name = nameOf(parameter);
  const untouched = axis.by === "values" ? axis.values === "" : axis.minimum === "" && axis.maximum === "";
  const problem = error ?? (untouched ? undefined : problemWithAxis(parameter, axis));
  return (
    <Stack gap="xs" className="inset" role="group" aria-label={`Sweep of ${name}`}>
      <Group justify="space-between">
        <Text size="sm" fw={600}>
          {name}
        </Text>
        <Group gap="xs">
          {numeric && (
            <NativeSelect
              size="xs"
              aria-label={`${name} by`}
              data={[
                { value: "values", label: "Values" },
                { value: "range", label: "Range" },
              ]}
              value={axis.by}
              onChange={(event) => change({ by: event.currentTarget.value as Axis["by"] })}
            />
          )}
          <Button size="compact-xs" variant="default" aria-label={`Remove ${name}`} onClick={onRemove}>
            Remove
          </Button>
        </Group>
      </Group>
      {axis.by === "values" ? (
        <TextInput
          label="Values"
          placeholder={numeric ? "with commas between" : ""}
          value={axis.values}
          error={problem}
          onChange={(event) => change({ values: event.currentTarget.value })}
        />
      ) : (
        <>
          <div className="pair">
            <NumberInput label="Least" decimalScale={12} value={axis.minimum} error={problem} onChange={(minimum) => change({ minimum })} />
            <NumberInput label="Greatest" decimalScale={12} value={axis.maximum} onChange={(maximum) => change({ maximum })} />
            <NumberInput
              label="Steps on a grid"
              placeholder="3"
              min={2}
              max={100}
              allowDecimal={false}
              value={axis.steps}
              onChange={(steps) => change({ steps })}
            />
          </div>
          <Switch
            label="Logarithmic"
            description="Spread by powers, as learning rates ask for."
            checked={axis.logarithmic}
            onChange={(event) => change({ logarithmic: event.currentTarget.checked })}
          />
        </>
      )}
    </Stack>
  );
}

function nameOf({ displayName = "", name = "" }: Parameter): string {
  return displayName === "" ? name : displayName;
}
