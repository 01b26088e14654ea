import { Alert, Code, Stack, Text } from "@mantine/core";

import type { Failure } from "../api/types";
import { printable } from "../ui/format";
import { FailureNote, FailureText } from "../ui/outcome";

/** Why a training failed: the cause and its mend where they are known, and the whole of what was said. */
export function JobFailure({ title, failure }: { title: string; failure: Failure }) {
  const { cause = "", mend = "", check = "", ...facts } = failure.metadata ?? {};
  if (cause === "" && mend === "") {
    return <FailureNote title={title} failure={failure} />;
  }
  return (
    <Alert color="red" title={title} role="alert">
      <Stack gap={6}>
        {cause !== "" && (
          <Text size="sm" className="name">
            <b>Cause:</b> {printable(cause)}
          </Text>
        )}
        {mend !== "" && (
          <Text size="sm" className="name">
            <b>Mend:</b> {printable(mend)}
          </Text>
        )}
        {check !== "" && (
          <Text size="sm">
            The preflight check <Code>{printable(check)}</Code> looks for it.
          </Text>
        )}
        <details>
          <summary>All that was said</summary>
          <FailureText failure={{ ...failure, metadata: facts }} />
        </details>
      </Stack>
    </Alert>
  );
}
