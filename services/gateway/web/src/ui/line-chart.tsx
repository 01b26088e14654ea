import { Group, Table, Text } from "@mantine/core";
import { useId, useState } from "react";

import { metric } from "./format";
import { Scroll } from "./scroll";
import { ticks } from "./ticks";

export interface Series {
  name: string;
  points: { x: number; y: number }[];
  /** Points with no line between, for what has no order. */
  dots?: boolean;
}

const width = 560;
const height = 220;
const margin = { left: 48, right: 12, top: 12, bottom: 28 };

/** Lines over a common x axis that counts, at most two, with the same figures as a table below for those who don't see them. */
export function LineChart({ title, xName, series }: { title: string; xName: string; series: Series[] }) {
  const titleId = useId();
  const [open, setOpen] = useState(false);
  const all = series.flatMap((one) => one.points).filter((point) => Number.isFinite(point.y));
  const xs = ticks(all.map((point) => point.x), 6, 1);
  const ys = ticks(all.map((point) => point.y), 4);
  const x = scale(xs, margin.left, width - margin.right);
  const y = scale(ys, height - margin.bottom, margin.top);
  return (
    <figure style={{ margin: 0 }}>
      <figcaption>
        <Group justify="space-between" gap="xs">
          <Text size="sm" fw={600}>
            {title}
          </Text>
          <Group gap="md">
            {series.map((one, index) => (
              <Text key={one.name} size="xs" c="dimmed">
                <svg className="chart" viewBox="0 0 22 4" style={{ display: "inline-block", width: 22, marginRight: 6 }} aria-hidden>
                  {one.dots ? <circle data-series={index} cx={11} cy={2} r={2} /> : <path data-series={index} d="M0 2H22" />}
                </svg>
                {one.name} {metric(one.points.at(-1)?.y ?? NaN)}
              </Text>
            ))}
          </Group>
        </Group>
      </figcaption>
      <svg className="chart" viewBox={`0 0 ${width} ${height}`} role="img" aria-labelledby={titleId}>
        <title id={titleId}>{describe(title, xName, series)}</title>
        {ys.map((value) => (
          <g key={value}>
            <line className="grid" x1={margin.left} x2={width - margin.right} y1={y(value)} y2={y(value)} />
            <text x={margin.left - 6} y={y(value) + 4} textAnchor="end">
              {metric(value)}
            </text>
          </g>
        ))}
        {xs.map((value) => (
          <text key={value} x={x(value)} y={height - 10} textAnchor="middle">
            {metric(value)}
          </text>
        ))}
        {series.map((one, index) => {
          const points = one.points.filter((point) => Number.isFinite(point.y));
          return (
            <g key={one.name}>
              {!one.dots && <path data-series={index} d={points.map((p, i) => `${i === 0 ? "M" : "L"}${x(p.x)} ${y(p.y)}`).join("")} />}
              {(one.dots === true || points.length < 40) &&
                points.map((p) => <circle key={p.x} data-series={index} cx={x(p.x)} cy={y(p.y)} r={one.dots ? 4 : 2.5} />)}
            </g>
          );
        })}
      </svg>
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>As a table</summary>
        {open && <Points title={title} xName={xName} series={series} />}
      </details>
    </figure>
  );
}

function Points({ title, xName, series }: { title: string; xName: string; series: Series[] }) {
  const columns = series.map((one) => new Map(one.points.map((point) => [point.x, point.y])));
  const rows = [...new Set(columns.flatMap((column) => [...column.keys()]))].sort((a, b) => a - b);
  return (
    <Scroll label={title}>
      <Table aria-label={title} verticalSpacing={2}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th className="number">{xName}</Table.Th>
            {series.map((one) => (
              <Table.Th key={one.name} className="number">
                {one.name}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map((x) => (
            <Table.Tr key={x}>
              <Table.Td className="number">{metric(x)}</Table.Td>
              {columns.map((column, index) => {
                const y = column.get(x);
                return (
                  <Table.Td key={index} className="number">
                    {y !== undefined && metric(y)}
                  </Table.Td>
                );
              })}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Scroll>
  );
}

function scale(domain: number[], from: number, to: number): (value: number) => number {
  const low = domain[0] ?? 0;
  const high = domain.at(-1) ?? 1;
  return (value) => Math.round((from + ((value - low) / (high - low || 1)) * (to - from)) * 10) / 10;
}

function describe(title: string, xName: string, series: Series[]): string {
  const last = series.map((one) => {
    const point = one.points.at(-1);
    return point ? `${one.name} ${metric(point.y)} at ${xName} ${metric(point.x)}` : `${one.name} no values yet`;
  });
  return `${title}: ${last.join(", ")}`;
}
