import { Alert, Anchor, List, Stack, Table, Text } from "@mantine/core";
import type { ReactNode } from "react";
import { Link } from "react-router";

import type { ReasonCount, Statistics, Version } from "../api/types";
import { Bars } from "../ui/bars";
import { bytes, count, metric, printable } from "../ui/format";
import { Histogram } from "../ui/histogram";
import { Facts } from "../ui/page";
import { Scroll } from "../ui/scroll";
import { ShowMore } from "../ui/show-more";
import { accountOf, countsOf, type NumberView, numbersOf, reasonInWords } from "./statistics-view";

/** What the user should know before training on it. */
export function Warnings({ statistics }: { statistics: Statistics }) {
  // Of single classes there may be so many that others would be missed behind them.
  const ofClass = (warning: string) => Number(warning.startsWith('Class "'));
  const warnings = (statistics.warnings ?? []).toSorted((a, b) => ofClass(a) - ofClass(b));
  if (warnings.length === 0) {
    return null;
  }
  return (
    <Alert color="orange" title={warnings.length === 1 ? "A warning" : `${count(warnings.length)} warnings`}>
      <ShowMore total={warnings.length} first={3} step={50} what="warnings">
        {(shown) => (
          <List size="sm">
            {warnings.slice(0, shown).map((warning) => (
              <List.Item key={warning} className="name">
                {printable(warning)}
              </List.Item>
            ))}
          </List>
        )}
      </ShowMore>
    </Alert>
  );
}

/** What was found in the upload and what became of it, why it was read as it was, and what is in it twice. */
export function Account({ version, statistics }: { version: Version; statistics: Statistics }) {
  const reasons = (statistics.reasons ?? []).toSorted((a, b) => Number(b.count ?? 0) - Number(a.count ?? 0));
  const facts: [string, ReactNode][] = [
    [
      "Format",
      <Anchor inherit component={Link} to={`/formats#${version.format ?? ""}`}>
        {version.format}
      </Anchor>,
    ],
    ["Chosen because", <span className="name">{printable(statistics.formatReason)}</span>],
  ];
  const others = statistics.otherFormats ?? [];
  if (others.length > 0) {
    facts.push(["Would fit, too", <Lines lines={others} />]);
  }
  if (reasons.length > 0) {
    facts.push(["Left out", <Lines lines={reasons.map(reasonOf)} />]);
  }
  facts.push(["Duplicates", duplicatesInWords(statistics)], ["Data", bytes(statistics.sourceBytes)]);
  return (
    <>
      <Scroll label="Found and kept">
        <Table aria-label="Found and kept" verticalSpacing={4} mb="sm">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>What</Table.Th>
              <Table.Th className="number">Found</Table.Th>
              <Table.Th className="number">Kept</Table.Th>
              <Table.Th className="number">Left out</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {accountOf(statistics).map((row) => (
              <Table.Tr key={row.what}>
                <Table.Th scope="row">{row.what}</Table.Th>
                <Table.Td className="number">{count(row.found)}</Table.Td>
                <Table.Td className="number">{count(row.kept)}</Table.Td>
                <Table.Td className="number">{count(row.leftOut)}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Scroll>
      <Facts facts={facts} />
    </>
  );
}

function reasonOf({ kind = "", reason = "", count: many }: ReasonCount): string {
  return `${count(Number(many ?? 0))} ${kind}${many === "1" ? "" : "s"}: ${reasonInWords(reason)}`;
}

function Lines({ lines }: { lines: string[] }) {
  return lines.map((line) => (
    <div key={line} className="name">
      {printable(line)}
    </div>
  ));
}

function duplicatesInWords({ duplicates = {} }: Statistics): string {
  const { sampled = 1 } = duplicates;
  const examples = Number(duplicates.examples ?? 0);
  const across = Number(duplicates.acrossSplits ?? 0);
  const found =
    examples === 0
      ? "none"
      : `${count(examples)} ${examples === 1 ? "example equals another" : "examples equal others"}, ${across === 0 ? "none" : count(across)} across splits`;
  return sampled < 1 ? `${found} (estimated from ${metric(sampled * 100)} % of the examples)` : found;
}

/** How numbers such as widths or columns are spread, and how often other values are there. */
export function Properties({ version, statistics }: { version: Version; statistics: Statistics }) {
  const all = numbersOf(statistics, version.format ?? "");
  const counts = countsOf(statistics, version.format ?? "");
  if (all.length + counts.length === 0) {
    return <Text c="dimmed">There is nothing to measure in examples of this format.</Text>;
  }
  // Of what is the same everywhere a chart says no more than a line.
  const numbers = all.filter((one) => one.min < one.max);
  const charts = counts.filter((one) => one.rows.length > 1);
  const lines: [string, ReactNode][] = [
    ...all.filter((one) => one.min >= one.max).map((one): [string, ReactNode] => [printable(one.title), `always ${one.text(one.min)}`]),
    ...counts.filter((one) => one.rows.length === 1).map(({ title, rows }): [string, ReactNode] => [
      printable(title),
      <span className="name">
        {printable(rows[0]?.name)}, {rows[0]?.text ?? `${count(rows[0]?.value)} times`}
      </span>,
    ]),
  ];
  return (
    <Stack gap="md">
      {numbers.length > 0 && (
        <div>
          <ShowMore total={numbers.length} first={12} step={48} what="properties">
            {(shown) => (
              <div className="charts">
                {numbers.slice(0, shown).map(({ title, ...number }, index) => (
                  <Histogram key={index} title={printable(title)} {...number} />
                ))}
              </div>
            )}
          </ShowMore>
        </div>
      )}
      {charts.length > 0 && (
        <div>
          <ShowMore total={charts.length} first={12} step={48} what="properties">
            {(shown) => (
              <div className="charts">
                {charts.slice(0, shown).map(({ title, rows }, index) => (
                  <section key={index} aria-label={printable(title)}>
                    <Text size="sm" fw={600} className="name">
                      {printable(title)}
                    </Text>
                    <ShowMore total={rows.length} first={8} step={100} what="values">
                      {(some) => <Bars caption={printable(title)} rows={rows.slice(0, some)} />}
                    </ShowMore>
                  </section>
                ))}
              </div>
            )}
          </ShowMore>
        </div>
      )}
      {lines.length > 0 && <Facts facts={lines} />}
      {numbers.length > 0 && <Figures numbers={numbers} />}
    </Stack>
  );
}

/** The same as the histograms show, in figures. */
function Figures({ numbers }: { numbers: NumberView[] }) {
  const columns: [string, (number: NumberView) => number][] = [
    ["Least", (number) => number.min],
    ["5 %", (number) => number.low],
    ["Median", (number) => number.median],
    ["95 %", (number) => number.high],
    ["Greatest", (number) => number.max],
    ["Mean", (number) => number.mean],
  ];
  return (
    <details>
      <summary>Numbers as a table</summary>
      <Scroll label="Numbers">
        <Table aria-label="Numbers" verticalSpacing={4}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Property</Table.Th>
              <Table.Th className="number">Values</Table.Th>
              {columns.map(([name]) => (
                <Table.Th key={name} className="number">
                  {name}
                </Table.Th>
              ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {numbers.map((number, index) => (
              <Table.Tr key={index}>
                <Table.Th scope="row" className="name">
                  {printable(number.title)}
                </Table.Th>
                <Table.Td className="number">{count(number.count)}</Table.Td>
                {columns.map(([name, of]) => (
                  <Table.Td key={name} className="number">
                    {number.text(of(number))}
                  </Table.Td>
                ))}
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Scroll>
    </details>
  );
}
