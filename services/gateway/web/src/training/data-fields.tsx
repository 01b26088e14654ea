import { Button, Checkbox, Group, NativeSelect, Stack, Text } from "@mantine/core";
import { useState } from "react";

import { datasetOf, idOf } from "../api/names";
import { useVersions } from "../api/queries";
import type { BaseDataset, Dataset, InputMode, Recipe, Version } from "../api/types";
import { count, printable, time } from "../ui/format";
import { modeNames, storageNames } from "../ui/words";
import type { FieldErrors } from "./field-errors";
import { type Draft, sharedClasses } from "./job-draft";

interface Props {
  draft: Draft;
  change: (part: Partial<Draft>) => void;
  recipe: Recipe;
  datasets: Dataset[];
  baseDatasets: BaseDataset[];
  /** READY versions of the chosen dataset, newest first; undefined while they load. */
  ready: Version[] | undefined;
  /** The one that is trained on. */
  version: Version | undefined;
  errors: FieldErrors;
}

/** What a job is trained on and how it is read. */
export function DataFields({ draft, change, recipe, datasets, baseDatasets, ready, version, errors }: Props) {
  return (
    <Stack gap="sm">
      <NativeSelect
        label="Dataset"
        data={datasets.map((one) => ({ value: one.name ?? "", label: idOf(one.name) }))}
        value={draft.dataset}
        onChange={(event) => change({ dataset: event.currentTarget.value, version: "" })}
      />
      <NativeSelect
        label="Version"
        description="Only versions that are READY."
        data={(ready ?? []).map((one) => ({ value: one.name ?? "", label: describeVersion(one) }))}
        value={version?.name ?? ""}
        disabled={(ready ?? []).length === 0}
        error={errors.dataset_version ?? (ready?.length === 0 && "This dataset has no version that is READY yet.")}
        onChange={(event) => change({ version: event.currentTarget.value })}
      />
      <AdditionalVersions
        datasets={datasets}
        chosen={draft.additional}
        main={version?.name ?? ""}
        error={errors.additional_dataset_versions}
        onChange={(additional) => change({ additional })}
      />
      {baseDatasets.length > 0 && (
        <Checkbox.Group
          label="Base datasets"
          description="Trained on together with yours; labels are joined by name."
          value={draft.bases}
          error={errors.base_datasets}
          onChange={(bases) => change({ bases })}
        >
          <Stack gap="xs" my="xs">
            {baseDatasets.map((base) => (
              <Checkbox key={base.name} value={base.name ?? ""} label={titleOf(base)} description={describeBase(base, version)} />
            ))}
          </Stack>
        </Checkbox.Group>
      )}
      <NativeSelect
        label="Input mode"
        description="How your data comes to the machine. Base datasets on file systems have none."
        data={[
          { value: "", label: "Advised by size and epochs" },
          ...(recipe.inputModes ?? []).map((mode) => ({ value: mode, label: modeNames[mode as InputMode] })),
        ]}
        value={draft.inputMode}
        error={errors.input_modes}
        onChange={(event) => change({ inputMode: event.currentTarget.value as InputMode | "" })}
      />
    </Stack>
  );
}

const mostAdditional = 8;

/** Versions whose train splits join the training, each with a button to leave it out again. */
function AdditionalVersions({ datasets, chosen, main, error, onChange }: {
  datasets: Dataset[];
  chosen: string[];
  /** The version that is trained on, which can't be added once more. */
  main: string;
  error: string | undefined;
  onChange: (chosen: string[]) => void;
}) {
  const [open, setOpen] = useState(false);
  return (
    <Stack gap={6} role="group" aria-label="Additional dataset versions">
      {chosen.map((name) => (
        <Group key={name} justify="space-between" gap="xs" wrap="nowrap">
          <Text size="sm" className="name">
            and {idOf(datasetOf(name))}, version {idOf(name)}
          </Text>
          <Button
            size="compact-xs"
            variant="default"
            aria-label={`Leave out ${name}`}
            onClick={() => onChange(chosen.filter((one) => one !== name))}
          >
            Leave out
          </Button>
        </Group>
      ))}
      {error !== undefined && (
        <Text size="xs" c="var(--mantine-color-error)" role="alert">
          {error}
        </Text>
      )}
      {open ? (
        <AddVersion
          datasets={datasets}
          taken={[main, ...chosen]}
          onAdd={(name) => {
            onChange([...chosen, name]);
            setOpen(false);
          }}
          onCancel={() => setOpen(false)}
        />
      ) : (
        chosen.length < mostAdditional && (
          <div>
            <Button size="compact-sm" variant="default" onClick={() => setOpen(true)}>
              Add a dataset version
            </Button>
          </div>
        )
      )}
    </Stack>
  );
}

function AddVersion({ datasets, taken, onAdd, onCancel }: {
  datasets: Dataset[];
  taken: string[];
  onAdd: (name: string) => void;
  onCancel: () => void;
}) {
  const [dataset, setDataset] = useState(datasets[0]?.name ?? "");
  const [version, setVersion] = useState("");
  const versions = useVersions(dataset);
  const free = versions.data?.filter((one) => one.state === "READY" && !taken.includes(one.name ?? "")) ?? [];
  const chosen = free.find((one) => one.name === version) ?? free[0];
  return (
    <Stack gap="xs" className="inset">
      <NativeSelect
        label="Additional dataset"
        data={datasets.map((one) => ({ value: one.name ?? "", label: idOf(one.name) }))}
        value={dataset}
        onChange={(event) => setDataset(event.currentTarget.value)}
      />
      <NativeSelect
        label="Its version"
        description="Its train split is added; classes are joined by name."
        data={free.map((one) => ({ value: one.name ?? "", label: describeVersion(one) }))}
        value={chosen?.name ?? ""}
        disabled={free.length === 0}
        error={versions.data && free.length === 0 && "This dataset has no further version that is READY."}
        onChange={(event) => setVersion(event.currentTarget.value)}
      />
      <Group gap="xs">
        <Button size="compact-sm" disabled={chosen === undefined} onClick={() => onAdd(chosen?.name ?? "")}>
          Add
        </Button>
        <Button size="compact-sm" variant="default" onClick={onCancel}>
          Cancel
        </Button>
      </Group>
    </Stack>
  );
}

function describeVersion(one: Version): string {
  return `Version ${idOf(one.name)}: ${count(one.exampleCount)} examples, ${count(one.classes?.length)} classes, ${time(one.createTime)}`;
}

/** A resource's title for people, or else its id. */
export function titleOf({ displayName = "", name }: { displayName?: string; name?: string }): string {
  return displayName === "" ? idOf(name) : printable(displayName);
}

function describeBase(base: BaseDataset, version: Version | undefined): string {
  const parts = [printable(base.description), idOf(base.name), `on ${storageNames[base.storage ?? "STORAGE_UNSPECIFIED"]}`];
  if ((base.exampleCount ?? 0) > 0) {
    parts.push(`${count(base.exampleCount)} examples`);
  }
  const shared = sharedClasses(base, version);
  if (shared !== undefined) {
    parts.push(`shares ${count(shared.length)} of ${count(version?.classes?.length)} classes`);
  }
  return parts.filter((part) => part !== "").join(" · ");
}
