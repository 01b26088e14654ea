import { Group, Table, Text } from "@mantine/core";
import type { CSSProperties } from "react";

import type { Statistics } from "../api/types";
import { count, printable } from "../ui/format";
import { Scroll } from "../ui/scroll";
import { ShowMore } from "../ui/show-more";
import { classesOf } from "./statistics-view";

/** Examples of each class as bars stacked of its splits, and where examples hold several objects, how many of each. */
export function Classes({ statistics }: { statistics: Statistics }) {
  const classes = classesOf(statistics);
  const splits = (classes[0]?.bySplit ?? []).map((_, index) => statistics.splits?.[index]?.name ?? "");
  const withObjects = classes.some((one) => one.objects > 0);
  const largest = Math.max(1, ...classes.map((one) => (splits.length > 0 ? one.examples : one.objects)));
  const notListed = (statistics.classCount ?? 0) - classes.length;
  return (
    <>
      {splits.length > 0 && (
        <Group gap="md" mb="xs">
          {splits.map((split, index) => (
            <Text key={split} size="xs" c="dimmed">
              <span className="swatch" style={shade(index)} />
              {split}
            </Text>
          ))}
        </Group>
      )}
      <ShowMore total={classes.length} first={15} step={100} what="classes">
        {(shown) => (
          <Scroll label="Examples of each class">
            <Table aria-label={splits.length > 0 ? "Examples of each class" : "Objects of each class"} verticalSpacing={4}>
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>Class</Table.Th>
                  <Table.Td aria-hidden />
                  {splits.map((split) => (
                    <Table.Th key={split} className="number">
                      {split}
                    </Table.Th>
                  ))}
                  {splits.length > 0 && <Table.Th className="number">all</Table.Th>}
                  {withObjects && <Table.Th className="number">objects</Table.Th>}
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {classes.slice(0, shown).map((one) => (
                  <Table.Tr key={one.name}>
                    <Table.Th scope="row" className="name">
                      {printable(one.name)}
                    </Table.Th>
                    <Table.Td className="stack-cell" aria-hidden>
                      <div className="stack">
                        {(splits.length > 0 ? one.bySplit : [one.objects]).map((value, index) => (
                          <div key={index} style={{ ...shade(index), "--share": value / largest } as CSSProperties} />
                        ))}
                      </div>
                    </Table.Td>
                    {splits.map((split, index) => (
                      <Table.Td key={split} className="number">
                        {count(one.bySplit[index])}
                      </Table.Td>
                    ))}
                    {splits.length > 0 && <Table.Td className="number">{count(one.examples)}</Table.Td>}
                    {withObjects && <Table.Td className="number">{count(one.objects)}</Table.Td>}
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </Scroll>
        )}
      </ShowMore>
      {notListed > 0 && (
        <Text size="xs" c="dimmed" mt="xs">
          {count(notListed)} more classes are not listed here; they are in the dataset&apos;s manifest.json.
        </Text>
      )}
    </>
  );
}

function shade(index: number): CSSProperties {
  return { "--shade": `var(--series-${index})` } as CSSProperties;
}
