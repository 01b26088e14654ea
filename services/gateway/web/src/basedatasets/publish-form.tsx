import { Anchor, Button, Group, NativeSelect, NumberInput, Stack, Text, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";

import { answer, api } from "../api/client";
import { keys } from "../api/keys";
import { datasetIdPattern, datasetOf, idOf } from "../api/names";
import { useDatasets, useVersions } from "../api/queries";
import type { Dataset } from "../api/types";
import { fieldErrors } from "../training/field-errors";
import { count } from "../ui/format";
import { ErrorNote, Loaded } from "../ui/outcome";

/** Makes a base dataset of a READY version, read where the version lies. version: to begin with, may be empty. */
export function PublishForm({ version }: { version: string }) {
  const datasets = useDatasets();
  return (
    <Loaded query={datasets} what="your datasets">
      {(list) =>
        list.length === 0 ? (
          <Text>
            There is nothing to publish yet.{" "}
            <Anchor component={Link} to="/datasets">
              Upload a dataset
            </Anchor>{" "}
            first.
          </Text>
        ) : (
          <Form datasets={list} wanted={version} />
        )
      }
    </Loaded>
  );
}

function Form({ datasets, wanted }: { datasets: Dataset[]; wanted: string }) {
  const client = useQueryClient();
  const [dataset, setDataset] = useState(wanted === "" ? (datasets[0]?.name ?? "") : datasetOf(wanted));
  const [version, setVersion] = useState(wanted);
  const [id, setId] = useState("");
  const [title, setTitle] = useState("");
  const [mix, setMix] = useState<string | number>("");
  const versions = useVersions(dataset);
  const ready = versions.data?.filter((one) => one.state === "READY") ?? [];
  const chosen = ready.find((one) => one.name === version) ?? ready[0];
  const publish = useMutation({
    mutationFn: () =>
      answer(
        api.POST("/v1/baseDatasets", {
          body: { baseDatasetId: id, datasetVersion: chosen?.name ?? "", displayName: title, mixRatio: Number(mix) / 100 },
        }),
      ),
    onSuccess: async () => {
      setId("");
      setTitle("");
      await client.invalidateQueries({ queryKey: keys.baseDatasets() });
    },
  });
  const errors = fieldErrors(publish.error);
  const badId = id !== "" && !datasetIdPattern.test(id);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        publish.mutate();
      }}
    >
      <Stack gap="sm">
        <div className="pair">
          <NativeSelect
            label="Dataset"
            data={datasets.map((one) => ({ value: one.name ?? "", label: idOf(one.name) }))}
            value={dataset}
            onChange={(event) => setDataset(event.currentTarget.value)}
          />
          <NativeSelect
            label="Version"
            data={ready.map((one) => ({
              value: one.name ?? "",
              label: `${idOf(one.name)}: ${count(one.exampleCount)} examples`,
            }))}
            value={chosen?.name ?? ""}
            disabled={ready.length === 0}
            error={errors.dataset_version ?? (versions.data && ready.length === 0 && "No version of it is READY yet.")}
            onChange={(event) => setVersion(event.currentTarget.value)}
          />
          <TextInput
            label="Id"
            placeholder="such as team-digits"
            maxLength={63}
            value={id}
            error={badId ? "Use a-z, 0-9 and -, beginning with a letter" : errors.base_dataset_id}
            onChange={(event) => setId(event.currentTarget.value)}
          />
          <TextInput
            label="Title"
            placeholder="the id"
            maxLength={200}
            value={title}
            error={errors.display_name}
            onChange={(event) => setTitle(event.currentTarget.value)}
          />
          <NumberInput
            label="Mix"
            placeholder="the recipe's"
            suffix=" %"
            min={0}
            max={100}
            value={mix}
            error={errors.mix_ratio}
            onChange={setMix}
          />
        </div>
        <Text size="xs" c="dimmed">
          The mix is the share of each batch that comes from base datasets. Jobs read the version where it lies on S3;{" "}
          <code>trainyard base publish</code> copies it to a file system.
        </Text>
        {publish.error && <ErrorNote title="It was not published" error={publish.error} />}
        <Group>
          <Button type="submit" disabled={id === "" || badId || chosen === undefined} loading={publish.isPending}>
            Publish
          </Button>
          {publish.data && (
            <Text size="sm" role="status">
              {idOf(publish.data.name)} is published.
            </Text>
          )}
        </Group>
      </Stack>
    </form>
  );
}
