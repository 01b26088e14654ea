import { Code, Table, Text } from "@mantine/core";

import { metric, printable } from "../ui/format";

/** Names and values of metrics. */
export function Metrics({ values }: { values: Readonly<Record<string, number>> }) {
  const names = Object.keys(values).sort();
  if (names.length === 0) {
    return <Text c="dimmed">None yet.</Text>;
  }
  return (
    <Table aria-label="Metrics" verticalSpacing={4}>
      <Table.Tbody>
        {names.map((name) => (
          <Table.Tr key={name}>
            <Table.Th scope="row" className="name">{printable(name)}</Table.Th>
            <Table.Td className="number">{metric(values[name] ?? NaN)}</Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}

/** Parameters as `name = value`. */
export function Parameters({ values }: { values: Readonly<Record<string, unknown>> }) {
  return Object.keys(values)
    .sort()
    .map((name) => (
      <div key={name}>
        <Code>
          {name} = {printable(JSON.stringify(values[name]))}
        </Code>
      </div>
    ));
}
