import { Button, Group } from "@mantine/core";
import { useState } from "react";

/** A button that asks once more before it does what can't be undone. */
export function ConfirmButton({ label, name, onConfirm, loading }: {
  label: string;
  /** Of what it is done to, for those who don't see what is beside. */
  name: string;
  onConfirm: () => void;
  loading: boolean;
}) {
  const [asking, setAsking] = useState(false);
  if (!asking) {
    return (
      <Button size="compact-sm" variant="default" aria-label={`${label} ${name}`} loading={loading} onClick={() => setAsking(true)}>
        {label}
      </Button>
    );
  }
  return (
    <Group gap={4} wrap="nowrap" role="group" aria-label={`${label} ${name}?`}>
      <Button
        size="compact-sm"
        color="red"
        variant="filled"
        autoFocus
        onClick={() => {
          setAsking(false);
          onConfirm();
        }}
      >
        Yes, {label.toLowerCase()}
      </Button>
      <Button size="compact-sm" variant="default" onClick={() => setAsking(false)}>
        No
      </Button>
    </Group>
  );
}
