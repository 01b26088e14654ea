import { Code, Stack, Text } from "@mantine/core";
import { useEffect } from "react";
import { useLocation } from "react-router";

import { idOf } from "../api/names";
import { useFormats } from "../api/queries";
import type { Format } from "../api/types";
import { Loaded } from "../ui/outcome";
import { Card, Page } from "../ui/page";

/** What can be uploaded. */
export function FormatsPage() {
  const formats = useFormats();
  return (
    <Page title="Formats">
      <Text>
        A dataset is uploaded as one zip or tar (plain, .gz, .zst or .bz2), or as a single file of data such as .csv, .jsonl, .parquet
        or .tfrecord. Its format is found by looking at what is in it; folders around it don&apos;t matter. Folders or files named train,
        validation and test are kept as splits, and otherwise the splits are drawn.
      </Text>
      <Loaded query={formats} what="the formats">
        {(list) => <Formats list={list} />}
      </Loaded>
    </Page>
  );
}

function Formats({ list }: { list: Format[] }) {
  // The browser looked for the place before the formats were there.
  const { hash } = useLocation();
  useEffect(() => {
    document.getElementById(hash.slice(1))?.scrollIntoView();
  }, [hash]);
  return (
    <div className="columns">
      {list.map((format) => (
        <div key={format.name} id={idOf(format.name)}>
          <Card title={format.displayName ?? ""}>
            <FormatHelp format={format} />
          </Card>
        </div>
      ))}
    </div>
  );
}

/** What an upload of a format looks like. */
export function FormatHelp({ format }: { format: Format }) {
  return (
    <Stack gap="xs">
      <Text size="sm">{format.description}</Text>
      <pre className="tree" tabIndex={0} aria-label={`Example of ${format.displayName ?? ""}`}>
        {format.example?.trimEnd()}
      </pre>
      <Text size="xs" c="dimmed">
        <Code>{idOf(format.name)}</Code>: {format.extensions?.join(" ")}
      </Text>
    </Stack>
  );
}
