import { Button } from "@mantine/core";
import { useClipboard } from "@mantine/hooks";

/** Puts a text on the clipboard. Where the browser has none, such as over plain HTTP, it says so. */
export function CopyButton({ text, what }: { text: string; what: string }) {
  const clipboard = useClipboard({ timeout: 2000 });
  const label = clipboard.error ? "Can't copy" : clipboard.copied ? "Copied" : "Copy";
  return (
    <Button size="compact-xs" variant="default" aria-label={`${label} ${what}`} onClick={() => clipboard.copy(text)}>
      {label}
    </Button>
  );
}
