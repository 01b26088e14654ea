import { NumberInput, Stack, Switch, TextInput } from "@mantine/core";
import { useState } from "react";

import type { Recipe } from "../api/types";
import { type FieldErrors, hasErrorBelow } from "./field-errors";
import { type Draft, type Machine, tagsOf } from "./job-draft";

/** The machine and what it may cost, closed until it is wanted or something is wrong with it. */
export function MachineFields({ draft, change, recipe, errors }: {
  draft: Draft;
  change: (part: Partial<Draft>) => void;
  recipe: Recipe;
  errors: FieldErrors;
}) {
  const [open, setOpen] = useState(false);
  const faulty = hasErrorBelow(errors, "resources") || errors.tags !== undefined || tagsOf(draft.tags) === undefined;
  const { machine } = draft;
  const set = (part: Partial<Machine>) => change({ machine: { ...machine, ...part } });
  const number = (label: string, description: string, key: keyof Machine, field: string, max: number) => (
    <NumberInput
      label={label}
      description={description}
      min={0}
      max={max}
      value={machine[key] as string | number}
      error={errors[`resources.${field}`]}
      onChange={(value) => set({ [key]: value })}
    />
  );
  return (
    <details className="part" open={open || faulty} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Machine and money</summary>
      <Stack gap="sm" mt="sm">
        <TextInput
          label="Instance type"
          description="Empty means the recipe's default."
          placeholder={recipe.defaultInstanceType ?? ""}
          maxLength={40}
          value={machine.instanceType}
          error={errors["resources.instance_type"]}
          onChange={(event) => set({ instanceType: event.currentTarget.value })}
        />
        {recipe.distributed === true && (
          <>
            {number("Instances", "They train together. Empty means 1.", "instanceCount", "instance_count", 1000)}
            <Switch
              label="Each instance has its part of the shards"
              description="Otherwise each has a full copy."
              checked={machine.sharded}
              error={errors["resources.distribution"]}
              onChange={(event) => set({ sharded: event.currentTarget.checked })}
            />
          </>
        )}
        {number("Stop after (minutes)", "Of training, over all attempts. Empty means the server's default.", "maxMinutes", "max_runtime_seconds", 40_320)}
        <Switch
          label="Spot instances"
          description="Cheaper; may be interrupted, and then go on from the last checkpoint."
          checked={machine.spot}
          error={errors["resources.spot"]}
          onChange={(event) => set({ spot: event.currentTarget.checked })}
        />
        {machine.spot &&
          number("Wait and train no longer than (minutes)", "In all. Empty means twice the time to stop after.", "maxWaitMinutes", "max_wait_seconds", 40_320)}
        {number("Keep the machine for (minutes)", "A warm pool for the next job of the same kind. It is billed.", "keepAliveMinutes", "keep_alive_seconds", 360)}
        {number("Retries", "After an internal error of SageMaker's.", "maxRetries", "max_retries", 30)}
        <Switch
          label="Network isolation"
          description="No network for the training program."
          checked={machine.networkIsolation}
          error={errors["resources.network_isolation"]}
          onChange={(event) => set({ networkIsolation: event.currentTarget.checked })}
        />
        <TextInput
          label="Tags"
          description="For the bill, such as team=vision, project=digits. May be empty."
          value={draft.tags}
          error={tagsOf(draft.tags) === undefined ? "Write name=value, with commas between" : errors.tags}
          onChange={(event) => change({ tags: event.currentTarget.value })}
        />
      </Stack>
    </details>
  );
}
