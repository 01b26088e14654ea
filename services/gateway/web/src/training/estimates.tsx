import { Badge, Group, Loader, NumberInput, Radio, Table, Text } from "@mantine/core";
import type { UseQueryResult } from "@tanstack/react-query";

import { ApiError } from "../api/errors";
import type { Estimate, Estimates as Result, InputMode } from "../api/types";
import { bytes, count, duration, money, printable } from "../ui/format";
import { ErrorNote } from "../ui/outcome";
import { Scroll } from "../ui/scroll";
import { modeNames, storageNames } from "../ui/words";
import { impossibleWays, isPossible } from "./estimate-view";
import { type Entered } from "./job-draft";
import { Unasked } from "./preflight";

/** What the job of the form takes in each way its data can be read; a way that is possible can be chosen. */
export function Estimates({ query, trials, inputMode, onChoose, jobsPerMonth, onJobsPerMonth }: {
  query: UseQueryResult<Result>;
  /** How many jobs like it a sweep makes; 1 without a sweep. */
  trials: number;
  /** As the form has it; empty where the server advises. */
  inputMode: InputMode | "";
  onChoose: (mode: InputMode) => void;
  jobsPerMonth: Entered;
  onJobsPerMonth: (value: Entered) => void;
}) {
  if (query.error instanceof ApiError && query.error.metadata.field !== undefined) {
    // Preflight says what is wrong, and so does the field.
    return <Unasked />;
  }
  if (query.error !== null) {
    return <ErrorNote title="This job can't be estimated" error={query.error} onRetry={() => void query.refetch()} />;
  }
  if (query.data === undefined) {
    return query.isFetching ? <Loader role="status" aria-label="Estimating" /> : <Unasked />;
  }
  const { estimates = [], assumptions = [], datasetBytes, baseBytes } = query.data;
  const chosen = estimates.find((one) => one.chosen);
  const based = estimates.some((one) => storageOf(one) !== "");
  return (
    <>
      {chosen && isPossible(chosen) && (
        <Text mb="xs" role="status">
          About <b>{duration(chosen.totalSeconds ?? 0)}</b>, of which {duration(chosen.billedSeconds ?? 0)} billed
          {priceOf(chosen) !== "" && (
            <>
              : <b>{priceOf(chosen)}</b>
            </>
          )}
          , on {chosen.instanceCount ?? 1} × {chosen.instanceType}
          {trials > 1 && (
            <>
              . All {count(trials)} trials: {duration(trials * (chosen.billedSeconds ?? 0))} billed
              {priceOf(chosen) !== "" && (
                <>
                  , <b>{money(trials * (chosen.totalCost ?? 0), chosen.currency)}</b>
                </>
              )}
            </>
          )}
        </Text>
      )}
      <Scroll label="Estimate">
        <Table aria-label="Estimate" fz="xs" verticalSpacing={6} horizontalSpacing={8}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Read by</Table.Th>
              <Table.Th className="number">Download</Table.Th>
              <Table.Th className="number">Train</Table.Th>
              <Table.Th className="number">Upload</Table.Th>
              <Table.Th className="number">Billed</Table.Th>
              <Table.Th className="number">Money</Table.Th>
              {based && <Table.Th className="number">Pays off from</Table.Th>}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {estimates.filter(isPossible).map((one) => (
              <Way
                key={`${one.inputMode ?? ""} ${one.baseStorage ?? ""}`}
                estimate={one}
                based={based}
                picked={inputMode === "" ? one.chosen === true : one.inputMode === inputMode}
                choosable={storageOf(one) === (chosen ? storageOf(chosen) : "")}
                onChoose={onChoose}
              />
            ))}
          </Table.Tbody>
        </Table>
      </Scroll>
      {impossibleWays(estimates).map((text) => (
        <Text key={text} size="xs" c="dimmed" mt={4} className="name">
          {printable(text)}
        </Text>
      ))}
      <Group justify="space-between" align="end" mt="sm">
        <Text size="xs" c="dimmed">
          Reads {bytes(datasetBytes)} of yours{Number(baseBytes ?? 0) > 0 && ` and ${bytes(baseBytes)} of base datasets`}.
        </Text>
        {based && (
          <NumberInput
            size="xs"
            w={150}
            label="Jobs like it a month"
            min={1}
            max={1_000_000}
            allowDecimal={false}
            value={jobsPerMonth}
            onChange={onJobsPerMonth}
          />
        )}
      </Group>
      <details>
        <summary>What was assumed</summary>
        <ul className="notes">
          {assumptions.map((text) => (
            <li key={text} className="name">
              {printable(text)}
            </li>
          ))}
        </ul>
      </details>
    </>
  );
}

function Way({ estimate, based, picked, choosable, onChoose }: {
  estimate: Estimate;
  based: boolean;
  /** Whether it is the form's choice, which the estimate may not know yet. */
  picked: boolean;
  /** Whether it is a way of the job as it is: where base datasets lie can't be chosen. */
  choosable: boolean;
  onChoose: (mode: InputMode) => void;
}) {
  const { inputMode = "INPUT_MODE_UNSPECIFIED" } = estimate;
  const mode = modeNames[inputMode];
  const storage = storageOf(estimate);
  const base = storage === "" ? "" : `base on ${storage}`;
  return (
    <Table.Tr data-chosen={estimate.chosen === true || undefined} className="way">
      <Table.Td>
        {choosable ? (
          <Radio
            size="xs"
            name="inputMode"
            aria-label={`Read by ${mode} ${base}`.trim()}
            label={mode}
            checked={picked}
            onChange={() => onChoose(inputMode)}
          />
        ) : (
          <div className="unchoosable">{mode}</div>
        )}
        {base !== "" && (
          <Text size="xs" c="dimmed" className="unchoosable">
            {base}
          </Text>
        )}
        <Group gap={4} mt={2}>
          {estimate.chosen && <Mark color="cyan">chosen</Mark>}
          {estimate.cheapest && <Mark color="green">cheapest</Mark>}
          {estimate.fastest && <Mark color="green">fastest</Mark>}
        </Group>
      </Table.Td>
      <Table.Td className="number">{duration(estimate.downloadSeconds ?? 0)}</Table.Td>
      <Table.Td className="number">{duration(estimate.trainSeconds ?? 0)}</Table.Td>
      <Table.Td className="number">{duration(estimate.uploadSeconds ?? 0)}</Table.Td>
      <Table.Td className="number">{duration(estimate.billedSeconds ?? 0)}</Table.Td>
      <Table.Td className="number">{priceOf(estimate) || "unknown"}</Table.Td>
      {based && <Table.Td className="number">{breakEven(estimate)}</Table.Td>}
    </Table.Tr>
  );
}

function Mark({ color, children }: { color: string; children: string }) {
  return (
    <Badge size="xs" variant="light" color={color} miw="max-content">
      {children}
    </Badge>
  );
}

function storageOf({ baseStorage = "STORAGE_UNSPECIFIED" }: Estimate): string {
  return storageNames[baseStorage];
}

/** Empty when no price is known. */
function priceOf({ totalCost, currency = "" }: Estimate): string {
  return currency === "" ? "" : money(totalCost, currency);
}

function breakEven({ breakEvenJobsPerMonth: jobs = 0 }: Estimate): string {
  return jobs > 0 ? `${count(jobs)} jobs a month` : "";
}
