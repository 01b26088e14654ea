import { Alert, Anchor, Button, Checkbox, Group, NativeSelect, NumberInput, Stack, Text, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useNavigate } from "react-router";

import { answer, api } from "../api/client";
import { keys } from "../api/keys";
import { datasetOf, idOf, newRequestId } from "../api/names";
import { useVersions } from "../api/queries";
import type { BaseDataset, Dataset, Recipe } from "../api/types";
import { count, printable, time } from "../ui/format";
import { ErrorNote } from "../ui/outcome";
import { Card } from "../ui/page";
import { ParameterField } from "./parameter-field";
import { defaultsOf, parametersToSend, problemWith } from "./parameters";

interface Props {
  recipes: Recipe[];
  datasets: Dataset[];
  baseDatasets: BaseDataset[];
  /** The version to begin with, `datasets/{dataset}/versions/{number}`; may be empty. */
  version: string;
}

/** Everything a training job is made of. */
export function JobForm({ recipes, datasets, baseDatasets, version: wanted }: Props) {
  const navigate = useNavigate();
  const client = useQueryClient();
  // Repeating a request whose answer was lost must not start a second job.
  const [requestId] = useState(newRequestId);
  const [recipe, setRecipe] = useState(recipes[0]);
  const [values, setValues] = useState(() => defaultsOf(recipes[0]));
  const [dataset, setDataset] = useState(wanted === "" ? (datasets[0]?.name ?? "") : datasetOf(wanted));
  const [version, setVersion] = useState(wanted);
  const [bases, setBases] = useState<string[]>([]);
  const [instanceType, setInstanceType] = useState("");
  const [maxMinutes, setMaxMinutes] = useState<string | number>("");

  const versions = useVersions(dataset);
  const ready = versions.data?.filter((one) => one.state === "READY") ?? [];
  const chosen = ready.find((one) => one.name === version) ?? ready[0];

  const create = useMutation({
    mutationFn: (from: Recipe) =>
      answer(
        api.POST("/v1/trainingJobs", {
          params: { query: { requestId } },
          body: {
            recipe: from.name ?? "",
            datasetVersion: chosen?.name ?? "",
            baseDatasets: bases,
            parameters: parametersToSend(from, values),
            resources: { instanceType, maxRuntimeSeconds: Math.round(Number(maxMinutes) * 60) },
          },
        }),
      ),
    onSuccess: async (job) => {
      client.setQueryData(keys.job(job.name ?? ""), job);
      await client.invalidateQueries({ queryKey: keys.jobs() });
      await navigate(`/training/${idOf(job.name)}`);
    },
  });

  if (recipe === undefined) {
    return <Alert color="orange">The server offers no recipe. Ask its operator to configure one.</Alert>;
  }
  if (datasets.length === 0) {
    return (
      <Text>
        There is nothing to train on yet.{" "}
        <Anchor component={Link} to="/datasets">
          Upload a dataset
        </Anchor>{" "}
        first.
      </Text>
    );
  }

  const parameters = recipe.parameters ?? [];
  const problems = parameters.map((parameter) => problemWith(parameter, values[parameter.name ?? ""]));
  const valid = chosen !== undefined && problems.every((problem) => problem === undefined);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        create.mutate(recipe);
      }}
    >
      <Stack gap="lg">
        <div className="columns">
          <Card title="Data">
            <Stack gap="sm">
              <NativeSelect
                label="Dataset"
                data={datasets.map((one) => ({ value: one.name ?? "", label: idOf(one.name) }))}
                value={dataset}
                onChange={(event) => setDataset(event.currentTarget.value)}
              />
              <NativeSelect
                label="Version"
                description="Only versions that are READY."
                data={ready.map((one) => ({
                  value: one.name ?? "",
                  label: `Version ${idOf(one.name)}: ${count(one.exampleCount)} examples, ${count(one.classes?.length)} classes, ${time(one.createTime)}`,
                }))}
                value={chosen?.name ?? ""}
                disabled={ready.length === 0}
                error={versions.data && ready.length === 0 && "This dataset has no version that is READY yet."}
                onChange={(event) => setVersion(event.currentTarget.value)}
              />
              <BaseDatasets list={baseDatasets} chosen={bases} onChange={setBases} />
            </Stack>
          </Card>
          <Card title="Recipe">
            <Stack gap="sm">
              <NativeSelect
                label="Recipe"
                description={recipe.description ?? ""}
                data={recipes.map((one) => ({ value: one.name ?? "", label: titleOf(one) }))}
                value={recipe.name ?? ""}
                onChange={(event) => {
                  const next = recipes.find((one) => one.name === event.currentTarget.value);
                  setRecipe(next);
                  setValues(defaultsOf(next));
                }}
              />
              {parameters.map((parameter, index) => (
                <ParameterField
                  key={`${recipe.name ?? ""} ${parameter.name ?? ""}`}
                  parameter={parameter}
                  value={values[parameter.name ?? ""] ?? ""}
                  error={problems[index]}
                  onChange={(value) => setValues((known) => ({ ...known, [parameter.name ?? ""]: value }))}
                />
              ))}
            </Stack>
          </Card>
        </div>
        <Card title="Machine">
          <Group align="start">
            <TextInput
              label="Instance type"
              description="Empty means the recipe's default."
              placeholder={recipe.defaultInstanceType ?? ""}
              maxLength={40}
              value={instanceType}
              onChange={(event) => setInstanceType(event.currentTarget.value)}
            />
            <NumberInput
              label="Stop after (minutes)"
              description="Empty means the server's default."
              min={1}
              max={40320}
              value={maxMinutes}
              onChange={setMaxMinutes}
            />
          </Group>
        </Card>
        {create.error && <ErrorNote title="The job was not started" error={create.error} />}
        <Group>
          <Button type="submit" disabled={!valid} loading={create.isPending}>
            Start training
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function BaseDatasets(props: { list: BaseDataset[]; chosen: string[]; onChange: (chosen: string[]) => void }) {
  if (props.list.length === 0) {
    return null;
  }
  return (
    <Checkbox.Group
      label="Base datasets"
      description="Trained on together with yours; labels are joined by name."
      value={props.chosen}
      onChange={props.onChange}
    >
      <Stack gap="xs" mt="xs">
        {props.list.map((base) => (
          <Checkbox
            key={base.name}
            value={base.name ?? ""}
            label={titleOf(base)}
            description={describe(base)}
          />
        ))}
      </Stack>
    </Checkbox.Group>
  );
}

function titleOf({ displayName = "", name }: { displayName?: string; name?: string }): string {
  return displayName === "" ? idOf(name) : printable(displayName);
}

function describe(base: BaseDataset): string {
  const parts = [printable(base.description), idOf(base.name), `on ${base.storage ?? ""}`];
  if ((base.exampleCount ?? 0) > 0) {
    parts.push(`${count(base.exampleCount)} examples`);
  }
  parts.push(`${count(base.labels?.length)} labels`);
  return parts.filter((part) => part !== "").join(" · ");
}
