import { Button, Group, Loader, NativeSelect, Table, Text, TextInput } from "@mantine/core";
import { type CSSProperties, useEffect, useState } from "react";

import { useExamples } from "../api/queries";
import type { Box, Example, Image, Version } from "../api/types";
import { printable } from "../ui/format";
import { ErrorNote } from "../ui/outcome";
import { Scroll } from "../ui/scroll";
import { columnsOf, hueOf, orElse, pictureOf, ratioOf, textOf, upright } from "./example-view";

/** Examples of a version as they are in its shards: pictures as a grid, anything else as a table. */
export function Examples({ version }: { version: Version }) {
  const [split, setSplit] = useState("");
  const [className, setClassName] = useState("");
  const query = useExamples(version.name ?? "", split, className);
  const examples: Example[] = query.data?.pages.flatMap((page) => page.examples ?? []) ?? [];

  // A page may be empty though more is to come.
  const nothingYet = examples.length === 0 && query.hasNextPage && !query.isFetching && !query.isError;
  const { fetchNextPage } = query;
  useEffect(() => {
    if (nothingYet) {
      void fetchNextPage();
    }
  }, [nothingYet, fetchNextPage]);

  const waiting = query.isLoading || (examples.length === 0 && query.hasNextPage);
  return (
    <>
      <Group gap="sm" mb="sm" align="end">
        <NativeSelect
          label="Split"
          value={split}
          onChange={(event) => setSplit(event.currentTarget.value)}
          data={[{ value: "", label: "all" }, ...(version.splits ?? []).map(({ name = "" }) => ({ value: name, label: name }))]}
        />
        <ClassFilter version={version} value={className} onChange={setClassName} />
      </Group>
      {query.error && <ErrorNote title="Can't show examples" error={query.error} onRetry={() => void query.refetch()} />}
      {!query.error && waiting && <Loader role="status" aria-label="Loading examples" />}
      {!query.error && !waiting && examples.length === 0 && <Text size="sm">No example is of this split and class.</Text>}
      {examples.some(pictureOf) ? <Grid examples={examples} /> : examples.length > 0 && <Rows examples={examples} />}
      {examples.length > 0 && query.hasNextPage && (
        <Button variant="default" mt="sm" onClick={() => void query.fetchNextPage()} loading={query.isFetchingNextPage}>
          Show more examples
        </Button>
      )}
    </>
  );
}

// More options than that are slow to open; they are typed.
const mostOptions = 500;

function ClassFilter({ version, value, onChange }: { version: Version; value: string; onChange: (name: string) => void }) {
  const names = (version.classes ?? []).map(({ name = "" }) => name);
  if (names.length === 0) {
    return null;
  }
  if (names.length > mostOptions) {
    return (
      <TextInput
        label="Class"
        placeholder="all"
        defaultValue={value}
        onBlur={(event) => onChange(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter") {
            onChange(event.currentTarget.value);
          }
        }}
      />
    );
  }
  return (
    <NativeSelect
      label="Class"
      value={value}
      onChange={(event) => onChange(event.currentTarget.value)}
      data={[{ value: "", label: "all" }, ...names.map((name) => ({ value: name, label: printable(name) }))]}
    />
  );
}

function Grid({ examples }: { examples: Example[] }) {
  return (
    <ul className="examples" aria-label="Examples">
      {examples.map((example) => (
        <li key={example.id}>
          <Figure example={example} />
        </li>
      ))}
    </ul>
  );
}

function Figure({ example }: { example: Example }) {
  const picture = pictureOf(example);
  const others = (example.features ?? []).filter((feature) => feature.image === undefined || feature.image !== picture?.image);
  return (
    <figure>
      {picture && <Picture image={picture.image} boxes={picture.boxes} name={printable(orElse(example.class, example.id ?? ""))} />}
      <figcaption>
        <Text size="sm" fw={600} className="name">
          {printable(example.class)}
        </Text>
        <Text size="xs" c="dimmed">
          {example.split}
          {picture && `, ${picture.image.width ?? 0} × ${picture.image.height ?? 0}`}
        </Text>
        <details>
          <summary>Values</summary>
          <dl className="values">
            <dt>id</dt>
            <dd>{example.id}</dd>
            {others.map((feature) => (
              <div key={feature.name} style={{ display: "contents" }}>
                <dt>{printable(feature.name)}</dt>
                <dd>{printable(textOf(feature))}</dd>
              </div>
            ))}
          </dl>
        </details>
      </figcaption>
    </figure>
  );
}

// Pictures narrower than that are drawn with their pixels as squares.
const smallest = 64;

function Picture({ image, boxes, name }: { image: Image; boxes: Box[]; name: string }) {
  const thumbnail = image.thumbnail ?? "";
  const ratio = ratioOf(image);
  const [width, height] = ratio > 1 ? [256, 256 / ratio] : [256 * ratio, 256];
  const placed = boxes.flatMap((box) => {
    const place = upright(box, image.orientation);
    return place ? [{ place, label: printable(box.class) }] : [];
  });
  return (
    <div className="picture">
      <div style={{ "--ratio": ratio } as CSSProperties}>
        {thumbnail === "" ? (
          <Text size="xs" c="dimmed">
            can&apos;t be shown
          </Text>
        ) : (
          <img
            src={`data:image/jpeg;base64,${thumbnail}`}
            alt={name + (placed.length > 0 ? ` with ${placed.map(({ label }) => orElse(label, "box")).join(", ")}` : "")}
            data-small={(image.width ?? 0) <= smallest || undefined}
          />
        )}
        {placed.length > 0 && (
          <svg viewBox={`0 0 ${width} ${height}`} aria-hidden>
            {placed.map(({ place, label }, index) => (
              <g key={index} style={{ "--hue": hueOf(label) } as CSSProperties}>
                <rect x={place.x * width} y={place.y * height} width={place.width * width} height={place.height * height} />
                <text x={place.x * width + 3} y={place.y * height + 13}>
                  {label}
                </text>
              </g>
            ))}
          </svg>
        )}
      </div>
    </div>
  );
}

// A table wider than that is no use.
const mostColumns = 50;

function Rows({ examples }: { examples: Example[] }) {
  const all = columnsOf(examples);
  const columns = all.slice(0, mostColumns);
  return (
    <>
      <Scroll label="Examples">
        <Table aria-label="Examples">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Split</Table.Th>
              {columns.map((name) => (
                <Table.Th key={name} className="name">
                  {printable(name)}
                </Table.Th>
              ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {examples.map((example) => (
              <Table.Tr key={example.id}>
                <Table.Td>{example.split}</Table.Td>
                {columns.map((name) => {
                  const feature = example.features?.find((one) => one.name === name);
                  return (
                    <Table.Td key={name} className="cell">
                      {feature && printable(textOf(feature))}
                    </Table.Td>
                  );
                })}
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Scroll>
      {all.length > columns.length && (
        <Text size="xs" c="dimmed">
          {all.length - columns.length} more columns are not shown.
        </Text>
      )}
    </>
  );
}
