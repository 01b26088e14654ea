import { Progress, Table, Text } from "@mantine/core";

import { useUsage } from "../api/training";
import type { Usage } from "../api/types";
import { count, money, time } from "../ui/format";
import { Card } from "../ui/page";

/** What is used of the project's quotas, where it has any. */
export function UsageCard() {
  const usage = useUsage();
  const rows = usage.data ? limitsOf(usage.data) : [];
  if (rows.length === 0) {
    return null;
  }
  return (
    <Card title="Quotas">
      <Table aria-label="Quotas" withRowBorders={false} verticalSpacing={4} maw="40rem">
        <Table.Tbody>
          {rows.map(({ name, used, limit, share }) => (
            <Table.Tr key={name}>
              <Table.Th scope="row">{name}</Table.Th>
              <Table.Td className="bar-cell" aria-hidden>
                <Progress value={100 * share} color={share >= 0.9 ? "orange" : "cyan"} />
              </Table.Td>
              <Table.Td className="number">
                {used} of {limit}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      <Text size="xs" c="dimmed" mt="xs">
        Hours and money begin anew at {time(usage.data?.resetTime)}.
      </Text>
    </Card>
  );
}

interface Limit {
  name: string;
  used: string;
  limit: string;
  share: number;
}

/** The quotas that have a limit: 0 means none. */
function limitsOf(usage: Usage): Limit[] {
  const hours = (value = 0) => `${count(Math.round(value * 100) / 100)} h`;
  const price = (value = 0) => money(value, usage.currency);
  const all = [
    { name: "Jobs at a time", used: usage.concurrentJobs, limit: usage.maxConcurrentJobs, text: count },
    { name: "Instance hours this month", used: usage.instanceHours, limit: usage.maxInstanceHours, text: hours },
    { name: "Money this month", used: usage.cost, limit: usage.maxCost, text: price },
  ];
  return all.flatMap(({ name, used = 0, limit = 0, text }) =>
    limit > 0 ? [{ name, used: text(used), limit: text(limit), share: Math.min(1, used / limit) }] : [],
  );
}
