import { Alert, Text } from "@mantine/core";

import { ApiError } from "../api/errors";
import { ErrorNote } from "../ui/outcome";
import { CheckList } from "./check-list";

/** Why a job or a sweep was not made: what preflight found, or what else was wrong. */
export function NotMade({ what, error }: { what: string; error: unknown }) {
  const title = `The ${what} was not started`;
  if (!(error instanceof ApiError) || error.checks.length === 0) {
    return <ErrorNote title={title} error={error} />;
  }
  return (
    <Alert color="red" title={title} role="alert">
      <Text size="sm" mb="sm">
        It would fail, so nothing was made and nothing is billed. Mend what is wrong, or override a check by its name.
      </Text>
      <CheckList checks={error.checks} />
    </Alert>
  );
}
