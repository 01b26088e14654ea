import { Table } from "@mantine/core";
import type { CSSProperties } from "react";

import { count, printable } from "./format";

/** A histogram as a table: a name, a bar, a count or another text. */
export function Bars({ caption, rows }: { caption: string; rows: { name: string; value: number; text?: string }[] }) {
  const largest = Math.max(1, ...rows.map((row) => row.value));
  return (
    <Table withRowBorders={false} verticalSpacing={4} aria-label={caption}>
      <Table.Tbody>
        {rows.map((row) => (
          <Table.Tr key={row.name}>
            <Table.Th scope="row" className="name">
              {printable(row.name)}
            </Table.Th>
            <Table.Td className="bar-cell" aria-hidden>
              <div className="bar" style={{ "--share": row.value / largest } as CSSProperties} />
            </Table.Td>
            <Table.Td className="number">{row.text ?? count(row.value)}</Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}
