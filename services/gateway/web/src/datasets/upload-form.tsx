import { Button, Group, Stack, Text, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";

import { datasetIdFor, datasetIdPattern } from "../api/names";
import { useUploads } from "../upload/context";
import { bytes, printable } from "../ui/format";
import { ErrorNote } from "../ui/outcome";
import { ConversionForm } from "./conversion-form";
import { conversionOf, defaults, problemsWith } from "./conversion-options";
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
  const problems = problemsWith(options);
  const wrongOptions = Object.keys(problems).length > 0;
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
          <ConversionForm value={options} onChange={setOptions} problems={problems} />
        </details>
        {file.size === 0 && <ErrorNote title="This file is empty" error={new Error("Choose one that holds data.")} />}
        {start.error && <ErrorNote title="The upload could not begin" error={start.error} />}
        <Group>
          <Button type="submit" disabled={wrong || wrongOptions || file.size === 0} loading={start.isPending}>
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
