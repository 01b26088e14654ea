import { Anchor, Group, NativeSelect, NumberInput, Stack, Switch, Text, TextInput } from "@mantine/core";
import { Link } from "react-router";

import { idOf } from "../api/names";
import { useFormats } from "../api/queries";
import { ErrorNote } from "../ui/outcome";
import { hasColumns, type Options, type Problems } from "./conversion-options";
import { FormatHelp } from "./formats-page";

/** The choices of a conversion. */
export function ConversionForm({ value, onChange, problems }: {
  value: Options;
  onChange: (value: Options) => void;
  problems: Problems;
}) {
  const formats = useFormats();
  const chosen = formats.data?.find((format) => idOf(format.name) === value.format);
  const change = (part: Partial<Options>) => onChange({ ...value, ...part });
  return (
    <Stack gap="md" mt="xs">
      <div className="columns">
        <Stack gap="sm">
          <NativeSelect
            label="Format"
            value={value.format}
            onChange={(event) => change({ format: event.currentTarget.value })}
            data={[
              { value: "", label: "Found by looking" },
              ...(formats.data ?? []).map(({ name, displayName = "" }) => ({ value: idOf(name), label: displayName })),
            ]}
          />
          {formats.error && <ErrorNote title="Can't list the formats" error={formats.error} onRetry={() => void formats.refetch()} />}
          {chosen ? (
            <FormatHelp format={chosen} />
          ) : (
            <Text size="sm" c="dimmed">
              See{" "}
              <Anchor inherit underline="always" component={Link} to="/formats" target="_blank">
                what each format looks like
              </Anchor>
              .
            </Text>
          )}
          {hasColumns(value.format) && (
            <TextInput
              label="Label column"
              description="Of tables. Empty: a column named label, class, target or the like."
              value={value.labelColumn}
              error={problems.labelColumn}
              onChange={(event) => change({ labelColumn: event.currentTarget.value })}
            />
          )}
        </Stack>
        <Stack gap="sm">
          <Splits value={value} change={change} problems={problems} />
          <Checks value={value} change={change} problems={problems} />
          <Switch
            label="One file to download"
            description="Also packs the converted dataset as dataset.tar, which takes its space once more."
            checked={value.tar}
            onChange={(event) => change({ tar: event.currentTarget.checked })}
          />
          <Switch
            label="Compress the shards by GZIP"
            description="Tables and text shrink, pictures and sound don't. TensorFlow Datasets doesn't read these shards, and the page can't show examples of them; tf.data.TFRecordDataset(files, compression_type=&quot;GZIP&quot;) reads them."
            checked={value.gzip}
            onChange={(event) => change({ gzip: event.currentTarget.checked })}
          />
        </Stack>
      </div>
    </Stack>
  );
}

interface Part {
  value: Options;
  change: (part: Partial<Options>) => void;
  problems: Problems;
}

function Splits({ value, change, problems }: Part) {
  const share = (label: string, key: "train" | "validation" | "test") => (
    <NumberInput
      label={label}
      suffix=" %"
      w={110}
      clampBehavior="none"
      value={value[key]}
      error={problems.shares !== undefined}
      onChange={(entered) => change({ [key]: entered })}
    />
  );
  return (
    <>
      <Group align="start" gap="sm">
        {share("Train", "train")}
        {share("Validation", "validation")}
        {share("Test", "test")}
        <NumberInput
          label="Seed"
          w={110}
          allowDecimal={false}
          clampBehavior="none"
          value={value.seed}
          error={problems.seed}
          onChange={(entered) => change({ seed: entered })}
        />
      </Group>
      {problems.shares !== undefined && (
        <Text size="sm" c="var(--mantine-color-error)" role="alert">
          {problems.shares}
        </Text>
      )}
      <Text size="xs" c="dimmed">
        Folders or files named train, validation and test are kept as they are.
      </Text>
      <Switch
        label="The same classes in each split"
        description="Draws the splits of each class for itself, so that rare classes are in all of them."
        checked={value.stratify}
        onChange={(event) => change({ stratify: event.currentTarget.checked })}
      />
    </>
  );
}

function Checks({ value, change, problems }: Part) {
  return (
    <>
      <Switch
        label="Decode every file"
        description="Finds damage that the files' structure doesn't show; takes longer."
        checked={value.full}
        onChange={(event) => change({ full: event.currentTarget.checked })}
      />
      <NumberInput
        label="Tolerate bad files up to"
        description="Each is left out and listed. Ten are tolerated in any case; with 0 %, none is."
        suffix=" %"
        w={220}
        clampBehavior="none"
        value={value.maxBad}
        error={problems.maxBad}
        onChange={(entered) => change({ maxBad: entered })}
      />
    </>
  );
}
