import { Badge, Checkbox, Code, Group, Stack, Text } from "@mantine/core";

import type { CheckResult } from "../api/types";
import { CopyButton } from "../ui/copy-button";
import { printable } from "../ui/format";
import { bySeen, type CheckGroup, groupChecks } from "./checks";

const colors = { FAIL: "red", WARN: "orange", PASS: "green", SKIPPED: "gray" } as const;

interface Overriding {
  /** Checks that are overridden, by name. */
  overrides: readonly string[];
  onOverride: (check: string, overridden: boolean) => void;
}

/** What preflight found: failures and warnings in full, the rest to be opened. With `overriding`, failures can be overridden. */
export function CheckList({ checks, overriding }: { checks: readonly CheckResult[]; overriding?: Overriding }) {
  return (
    <Stack gap="sm">
      {groupChecks(checks).map((group) =>
        group.status === "FAIL" || group.status === "WARN" ? (
          <ul key={group.status} className="checks" aria-label={`Checks that ${group.status === "FAIL" ? "failed" : "warn"}`}>
            {group.checks.map((check) => (
              <li key={check.check} data-status={check.status}>
                <Check check={check} overriding={overriding} />
              </li>
            ))}
          </ul>
        ) : (
          <Quiet key={group.status} group={group} />
        ),
      )}
    </Stack>
  );
}

function Check({ check, overriding }: { check: CheckResult; overriding: Overriding | undefined }) {
  const { check: name = "", status = "SKIPPED", prevents = "", mend = "", snippet = "" } = check;
  return (
    <Stack gap={6}>
      <Group gap="xs">
        <Badge variant="light" color={colors[status as keyof typeof colors]} miw="max-content">
          {status}
        </Badge>
        <Text size="sm" fw={600}>
          {check.title}
        </Text>
        {check.overridden === true && <Badge variant="default" miw="max-content">overridden</Badge>}
      </Group>
      <Text size="sm" className="name">
        {printable(check.seen)}
      </Text>
      {prevents !== "" && (
        <Text size="sm" c="dimmed" className="name">
          SageMaker would say: <q>{printable(prevents)}</q>
        </Text>
      )}
      {mend !== "" && (
        <Text size="sm" className="name">
          <b>Mend:</b> {printable(mend)}
        </Text>
      )}
      {snippet !== "" && (
        <div className="snippet">
          <pre tabIndex={0} aria-label={`Lines that mend ${name}`}>
            {snippet}
          </pre>
          <CopyButton text={snippet} what={`the mend of ${name}`} />
        </div>
      )}
      {overriding && status === "FAIL" && (
        <Checkbox
          size="sm"
          label={
            <>
              Override <Code>{name}</Code>: make the job all the same
            </>
          }
          checked={overriding.overrides.includes(name)}
          onChange={(event) => overriding.onOverride(name, event.currentTarget.checked)}
        />
      )}
    </Stack>
  );
}

/** Checks that need no one's attention, closed. */
function Quiet({ group }: { group: CheckGroup }) {
  return (
    <details>
      <summary>
        {group.checks.length} {group.title}
      </summary>
      {bySeen(group.checks).map(({ seen, checks }) => (
        <div key={seen} className="quiet">
          <Text size="sm" c="dimmed" className="name">
            {printable(seen)}
          </Text>
          <ul>
            {checks.map((check) => (
              <li key={check.check}>
                {check.title} <Code>{check.check}</Code>
              </li>
            ))}
          </ul>
        </div>
      ))}
    </details>
  );
}
