import { Table, Text } from "@mantine/core";
import type { CSSProperties } from "react";

import { count, printable } from "../ui/format";
import { Scroll } from "../ui/scroll";
import type { Evaluation } from "./evaluation-json";

/** True classes down, predicted classes across; the darker a cell, the larger its share of the row. */
export function ConfusionMatrix({ evaluation }: { evaluation: Evaluation }) {
  const { labels, confusion } = evaluation;
  return (
    <>
      <Text size="sm" c="dimmed" mb="xs">
        Rows are the true classes, columns what the model says.
      </Text>
      <Scroll label="Confusion matrix">
        <table className="matrix" aria-label="Confusion matrix">
          <thead>
            <tr>
              <th scope="col">true \ predicted</th>
              {labels.map((label, index) => (
                <th key={index} scope="col" className="name">
                  {printable(label)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {confusion.map((row, index) => {
              const all = row.reduce((sum, value) => sum + value, 0);
              return (
                <tr key={index}>
                  <th scope="row" className="name">
                    {printable(labels[index])}
                  </th>
                  {row.map((value, column) => (
                    <td
                      key={column}
                      data-right={index === column || undefined}
                      style={{ "--share": all > 0 ? value / all : 0 } as CSSProperties}
                    >
                      {count(value)}
                    </td>
                  ))}
                </tr>
              );
            })}
          </tbody>
        </table>
      </Scroll>
    </>
  );
}

export function PerClass({ evaluation }: { evaluation: Evaluation }) {
  return (
    <Scroll label="By class">
      <Table aria-label="By class" verticalSpacing={4}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Class</Table.Th>
            <Table.Th className="number">Precision</Table.Th>
            <Table.Th className="number">Recall</Table.Th>
            <Table.Th className="number">F1</Table.Th>
            <Table.Th className="number">Examples</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {evaluation.perClass.map((score) => (
            <Table.Tr key={score.label}>
              <Table.Th scope="row" className="name">
                {printable(score.label)}
              </Table.Th>
              <Table.Td className="number">{score.precision.toFixed(3)}</Table.Td>
              <Table.Td className="number">{score.recall.toFixed(3)}</Table.Td>
              <Table.Td className="number">{score.f1.toFixed(3)}</Table.Td>
              <Table.Td className="number">{count(score.support)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Scroll>
  );
}
