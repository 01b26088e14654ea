import { Button, Group, NumberInput, Stack, Switch, Text, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";

import { datasetIdFor, datasetIdPattern } from "../api/names";
import type { ConversionOptions } from "../api/types";
import { useUploads } from "../upload/context";
import { bytes, printable } from "../ui/format";
import { ErrorNote } from "../ui/outcome";
import { FileDrop } from "./file-drop";

/** Takes a file and begins its upload, into the given dataset or one that the user names. */
export function UploadForm({ dataset }: { dataset?: string }) {
  const uploads = useUploads();
  const navigate = useNavigate();
  const [file, setFile] = useState<File>();
  const [id, setId] = useState("");
  const [options, setOptions] = useState(defaults);
  const start = useMutation({
    mutationFn: (chosen: File) => uploads.start(dataset ?? `datasets/${id}`, chosen, conversionOf(options)),
    onSuccess: (version) => navigate(`/${version}`),
  });

  if (file === undefined) {
    return (
      <FileDrop
        label="Choose a file"
        onFile={(chosen) => {
          setFile(chosen);
          setId(datasetIdFor(chosen.name));
        }}
      />
    );
  }

  const wrong = dataset === undefined && !datasetIdPattern.test(id);
  const sum = options.train + options.validation + options.test;
  const wrongSum = Math.abs(sum - 100) > 1e-9;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        start.mutate(file);
      }}
    >
      <Stack gap="sm">
        <Text className="name">
          <b>{printable(file.name)}</b>, {bytes(file.size)}
        </Text>
        {dataset === undefined && (
          <TextInput
            label="Dataset"
            description="A new one, or one that exists: then this becomes its next version."
            required
            value={id}
            error={wrong && "Begin with a letter; use a-z, 0-9 and -, at most 63"}
            onChange={(event) => setId(event.currentTarget.value)}
          />
        )}
        <details>
          <summary>Options</summary>
          <Options value={options} onChange={setOptions} wrongSum={wrongSum} />
        </details>
        {file.size === 0 && <ErrorNote title="This file is empty" error={new Error("Choose one that holds data.")} />}
        {start.error && <ErrorNote title="The upload could not begin" error={start.error} />}
        <Group>
          <Button type="submit" disabled={wrong || wrongSum || file.size === 0} loading={start.isPending}>
            Upload
          </Button>
          <Button variant="subtle" onClick={() => setFile(undefined)} disabled={start.isPending}>
            Another file
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

interface FormOptions {
  train: number;
  validation: number;
  test: number;
  seed: number;
  full: boolean;
}

const defaults: FormOptions = { train: 80, validation: 10, test: 10, seed: 0, full: false };

function Options(props: { value: FormOptions; onChange: (value: FormOptions) => void; wrongSum: boolean }) {
  const { value, onChange } = props;
  const share = (label: string, key: "train" | "validation" | "test") => (
    <NumberInput
      label={label}
      suffix=" %"
      min={0}
      max={100}
      w={120}
      value={value[key]}
      error={props.wrongSum}
      onChange={(entered) => onChange({ ...value, [key]: Number(entered) })}
    />
  );
  return (
    <Stack gap="sm" mt="xs">
      <Group align="start">
        {share("Train", "train")}
        {share("Validation", "validation")}
        {share("Test", "test")}
        <NumberInput
          label="Seed"
          w={120}
          min={0}
          allowDecimal={false}
          value={value.seed}
          onChange={(entered) => onChange({ ...value, seed: Number(entered) })}
        />
      </Group>
      {props.wrongSum && (
        <Text size="sm" c="var(--mantine-color-error)" role="alert">
          The three shares must sum to 100 %.
        </Text>
      )}
      <Switch
        label="Decode every file"
        description="Finds damage that the files' structure doesn't show; takes longer."
        checked={value.full}
        onChange={(event) => onChange({ ...value, full: event.currentTarget.checked })}
      />
    </Stack>
  );
}

function conversionOf(options: FormOptions): ConversionOptions {
  return {
    splitFractions: {
      train: options.train / 100,
      validation: options.validation / 100,
      test: options.test / 100,
    },
    seed: String(options.seed),
    validation: options.full ? "FULL" : "STRUCTURAL",
  };
}
