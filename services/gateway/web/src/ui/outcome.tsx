import { Alert, Button, Code, Loader, Text } from "@mantine/core";
import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";

import { ApiError, messageOf } from "../api/errors";
import type { Failure } from "../api/types";
import { printable } from "./format";

/** What was thrown, in words. */
export function ErrorNote({ title, error, onRetry }: { title: string; error: unknown; onRetry?: () => void }) {
  return (
    <Alert color="red" title={title} role="alert">
      <Text size="sm" className="name">
        {printable(messageOf(error))}
      </Text>
      {error instanceof ApiError && error.reason !== "" && (
        <Text size="xs" c="dimmed" mt={4}>
          Reason: {error.reason}
        </Text>
      )}
      {onRetry && (
        <Button size="compact-sm" variant="default" mt="sm" onClick={onRetry}>
          Try again
        </Button>
      )}
    </Alert>
  );
}

/** Why a version or a job ended in failure, and how to mend it. */
export function FailureNote({ title, failure }: { title: string; failure: Failure }) {
  return (
    <Alert color="red" title={title} role="alert">
      <FailureText failure={failure} />
    </Alert>
  );
}

/** All that a failure says. */
export function FailureText({ failure }: { failure: Failure }) {
  const facts = Object.entries(failure.metadata ?? {});
  return (
    <>
      <Text size="sm" className="name" style={{ whiteSpace: "pre-wrap" }}>
        {printableLines(failure.message)}
      </Text>
      <Text size="xs" c="dimmed" mt={4} className="name">
        Reason: {failure.reason}
        {facts.map(([name, value]) => (
          <span key={name}>
            {" · "}
            {printable(name)}: <Code>{printable(value)}</Code>
          </span>
        ))}
      </Text>
    </>
  );
}

// A trainer's message may have several lines.
function printableLines(text: string | undefined): string {
  return (text ?? "").split("\n").map(printable).join("\n");
}

/** Shows a query's data, or that it loads, or why it failed. */
export function Loaded<T>({
  query,
  what,
  children,
}: {
  query: UseQueryResult<T>;
  what: string;
  children: (data: T) => ReactNode;
}) {
  if (query.data !== undefined) {
    return children(query.data);
  }
  if (query.error !== null) {
    return <ErrorNote title={`Can't show ${what}`} error={query.error} onRetry={() => void query.refetch()} />;
  }
  return <Loader role="status" aria-label={`Loading ${what}`} />;
}
