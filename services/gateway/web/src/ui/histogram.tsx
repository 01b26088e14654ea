import { Text } from "@mantine/core";
import { useId } from "react";

import { count } from "./format";
import { binName } from "./ticks";

const width = 280;
const height = 96;
const bottom = height - 18;

/** How numbers that differ are spread: bars of equal width from the least to the greatest, 5 to 95 % shaded, a line at the median. */
export function Histogram({ title, min, max, median, low, high, bins, text }: {
  title: string;
  min: number;
  max: number;
  median: number;
  /** 5 % are less. */
  low: number;
  /** 95 % are less. */
  high: number;
  /** Counts from min to max. */
  bins: number[];
  /** A value with its unit. */
  text: (value: number) => string;
}) {
  const titleId = useId();
  const summary = `median ${text(median)}, 5 to 95 %: ${text(low)} to ${text(high)}`;
  const most = Math.max(1, ...bins);
  const x = (value: number) => round(Math.min(1, Math.max(0, (value - min) / (max - min))) * width);
  const step = width / bins.length;
  return (
    <figure className="histogram">
      <figcaption>
        <Text size="sm" fw={600} className="name">
          {title}
        </Text>
        <Text size="xs" c="dimmed">
          {summary}
        </Text>
      </figcaption>
      <svg viewBox={`0 0 ${width} ${height}`} role="img" aria-labelledby={titleId}>
        <title id={titleId}>{`${title}: ${summary}, from ${text(min)} to ${text(max)}`}</title>
        <rect className="span" x={x(low)} y={0} width={Math.max(1, x(high) - x(low))} height={bottom} />
        {bins.map((value, index) => (
          <rect
            key={index}
            x={round(index * step + 0.75)}
            y={round(bottom - bottom * 0.95 * (value / most))}
            width={round(step - 1.5)}
            height={round(bottom * 0.95 * (value / most))}
          >
            <title>{`${binName(index, min, max, bins.length, text)}: ${count(value)}`}</title>
          </rect>
        ))}
        <line x1={x(median)} x2={x(median)} y1={0} y2={bottom} />
        <text x={0} y={height - 4}>
          {text(min)}
        </text>
        <text x={width} y={height - 4} textAnchor="end">
          {text(max)}
        </text>
      </svg>
    </figure>
  );
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
