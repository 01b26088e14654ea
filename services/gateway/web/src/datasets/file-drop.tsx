import { Anchor, Button, FileButton, Text } from "@mantine/core";
import { useRef, useState } from "react";
import { Link } from "react-router";

/** Takes one file, dropped or chosen. */
export function FileDrop({ label, onFile }: { label: string; onFile: (file: File) => void }) {
  const [over, setOver] = useState(false);
  return (
    <div
      className="drop"
      data-over={over || undefined}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={(event) => {
        // Also fired when the pointer goes on to something inside.
        if (!event.currentTarget.contains(event.relatedTarget as Node | null)) {
          setOver(false);
        }
      }}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        const file = event.dataTransfer.files[0];
        if (file !== undefined) {
          onFile(file);
        }
      }}
    >
      <ChooseFile label={label} onFile={onFile} />
      <Text size="sm" c="dimmed">
        or drop it here: a zip or tar (plain, .gz, .zst, .bz2) of images, sounds, annotations or tables, or a single .csv, .tsv, .jsonl,
        .parquet or .tfrecord; of any size. See the{" "}
        <Anchor inherit underline="always" component={Link} to="/formats">
          formats
        </Anchor>
        .
      </Text>
    </div>
  );
}

/** A button that opens the system's file dialog. */
export function ChooseFile({ label, onFile }: { label: string; onFile: (file: File) => void }) {
  const reset = useRef<() => void>(null);
  return (
    <FileButton
      resetRef={reset}
      inputProps={{ "aria-label": label }}
      onChange={(file) => {
        if (file !== null) {
          // So that choosing the same file once more counts as a choice.
          reset.current?.();
          onFile(file);
        }
      }}
    >
      {(props) => (
        <Button variant="default" {...props}>
          {label}
        </Button>
      )}
    </FileButton>
  );
}
