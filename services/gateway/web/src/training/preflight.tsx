import { Loader, Text } from "@mantine/core";
import type { UseQueryResult } from "@tanstack/react-query";

import { isTransient } from "../api/errors";
import type { Preflight as Result } from "../api/types";
import { printable } from "../ui/format";
import { ErrorNote } from "../ui/outcome";
import { CheckList } from "./check-list";
import { blocking } from "./checks";

/** What would go wrong with the job of the form. */
export function Preflight({ query, overrides, onOverride }: {
  query: UseQueryResult<Result>;
  overrides: readonly string[];
  onOverride: (check: string, overridden: boolean) => void;
}) {
  if (query.error !== null) {
    const retry = isTransient(query.error) ? { onRetry: () => void query.refetch() } : {};
    return <ErrorNote title="This job can't be made as it is" error={query.error} {...retry} />;
  }
  if (query.data === undefined) {
    return query.isFetching ? <Loader role="status" aria-label="Checking" /> : <Unasked />;
  }
  const { checks = [], notes = [] } = query.data;
  const failed = blocking(checks, overrides).length;
  return (
    <>
      <Text size="sm" fw={600} mb="xs" role="status">
        {failed === 0
          ? "Nothing was found that would make this job fail."
          : `${failed} ${failed === 1 ? "check fails" : "checks fail"}: the job would not be made.`}
      </Text>
      <CheckList checks={checks} overriding={{ overrides, onOverride }} />
      <Notes list={notes} />
    </>
  );
}

/** What stands where the form can't be asked about yet. */
export function Unasked() {
  return (
    <Text size="sm" c="dimmed">
      Told as soon as the form is complete and nothing is wrong with it.
    </Text>
  );
}

/** What was chosen for a job and why. */
export function Notes({ list }: { list: readonly string[] }) {
  return (
    list.length > 0 && (
      <ul className="notes" aria-label="Notes">
        {list.map((note) => (
          <li key={note} className="name">
            {printable(note)}
          </li>
        ))}
      </ul>
    )
  );
}
