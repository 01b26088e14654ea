import { Progress, Stack, Text } from "@mantine/core";

import type { Version } from "../api/types";
import { bytes, count } from "../ui/format";
import { Card } from "../ui/page";

/** How far the converter is; follows live. */
export function ConversionCard({ version }: { version: Version }) {
  const progress = version.progress ?? {};
  const done = progress.doneExamples ?? 0;
  const total = progress.totalExamples ?? 0;
  return (
    <Card title="Conversion">
      <Stack gap="xs">
        {total > 0 ? (
          <Progress value={Math.floor((done / total) * 100)} aria-label="Conversion progress" size="lg" />
        ) : (
          <Progress.Root size="lg">
            <Progress.Section value={100} striped animated withAria={false} />
          </Progress.Root>
        )}
        <Text size="sm" aria-live="polite">
          {version.state === "UPLOADED"
            ? "Waiting for the converter."
            : total === 0
              ? `Looking through the upload${lookedThrough(version)}.`
              : `${count(done)} of ${count(total)} examples, ${bytes(progress.doneBytes)} of ${bytes(progress.totalBytes)} read.`}
          {(progress.rejectedCount ?? 0) > 0 && ` ${count(progress.rejectedCount)} left out so far.`}
        </Text>
      </Stack>
    </Card>
  );
}

/** How much was read of it: all of a compressed upload, little of others. */
function lookedThrough({ progress = {} }: Version): string {
  return Number(progress.doneBytes ?? 0) > 0
    ? `: ${bytes(progress.doneBytes)} of ${bytes(progress.totalBytes)} read`
    : "";
}
