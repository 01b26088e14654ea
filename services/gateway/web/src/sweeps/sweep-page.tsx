import { Anchor, Badge, Button, Group, Progress, Stack, Table, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link, useParams } from "react-router";

import { answer, api } from "../api/client";
import { keys } from "../api/keys";
import { idOf } from "../api/names";
import { useSweep } from "../api/training";
import type { Sweep, Trial } from "../api/types";
import { JobFailure } from "../training/job-failure";
import { Parameters } from "../training/values";
import { duration, metric, money, printable, time } from "../ui/format";
import { LineChart } from "../ui/line-chart";
import { ErrorNote, Loaded } from "../ui/outcome";
import { Card, Facts, Page } from "../ui/page";
import { StateBadge } from "../ui/state-badge";
import { rangeText, sweptNames, valuesByTrial, valueText } from "./trials";

export function SweepPage() {
  const { sweep: id = "" } = useParams();
  const name = `sweeps/${id}`;
  const sweep = useSweep(name);
  const client = useQueryClient();
  const stop = useMutation({
    mutationFn: () => answer(api.POST("/v1/sweeps/{name}:stop", { params: { path: { name: id } }, body: {} })),
    onSuccess: (stopped) => client.setQueryData(keys.sweep(name), stopped),
  });
  return (
    <Page
      title={`Sweep ${id}`}
      actions={
        <>
          <StateBadge state={sweep.data?.state} />
          {sweep.data?.state === "RUNNING" && (
            <Button variant="default" color="red" onClick={() => stop.mutate()} loading={stop.isPending}>
              Stop
            </Button>
          )}
          {sweep.data?.bestTrainingJob && (
            <Button component={Link} to={`/training/${idOf(sweep.data.bestTrainingJob)}`}>
              Open the best trial
            </Button>
          )}
        </>
      }
    >
      {stop.error && <ErrorNote title="The sweep was not stopped" error={stop.error} />}
      <Loaded query={sweep} what="this sweep">
        {(data) => <Body sweep={data} />}
      </Loaded>
    </Page>
  );
}

function Body({ sweep }: { sweep: Sweep }) {
  const { objectiveMetric: objective = "", trials = [] } = sweep;
  const series = valuesByTrial(trials, sweep.goal !== "MINIMIZE");
  return (
    <>
      {sweep.failure && (
        <JobFailure title={sweep.state === "FAILED" ? "This sweep failed" : "Its trials wait"} failure={sweep.failure} />
      )}
      <Card title="Progress">
        <Stack gap="xs">
          <Group justify="space-between">
            <Text aria-live="polite">
              <b>
                {sweep.endedTrialCount ?? 0} of {sweep.trialCount ?? 0} trials ended
              </b>
            </Text>
            <Text size="sm">
              <b>{duration(Number(sweep.billedSeconds ?? 0))} billed</b>
              {(sweep.currency ?? "") !== "" && `, ${money(sweep.cost, sweep.currency)}`}
            </Text>
          </Group>
          <Progress
            value={(100 * (sweep.endedTrialCount ?? 0)) / Math.max(1, sweep.trialCount ?? 0)}
            aria-label="Trials that ended"
          />
        </Stack>
      </Card>
      <Card title="Trials">
        <Trials sweep={sweep} />
      </Card>
      <div className="columns">
        <Card title="Objective by trial">
          {series[0]?.points.length === 0 ? (
            <Text c="dimmed">The chart begins with the first trial that tells its {objective}.</Text>
          ) : (
            <LineChart title={objective} xName="Trial" series={series} />
          )}
        </Card>
        <Card title="About this sweep">
          <Facts facts={factsOf(sweep)} />
        </Card>
      </div>
    </>
  );
}

function Trials({ sweep }: { sweep: Sweep }) {
  const names = sweptNames(sweep);
  return (
    <div className="scroll">
      <Table aria-label="Trials">
        <Table.Thead>
          <Table.Tr>
            <Table.Th className="number">Trial</Table.Th>
            {names.map((name) => (
              <Table.Th key={name} className="number">
                {printable(name)}
              </Table.Th>
            ))}
            <Table.Th className="number">{sweep.objectiveMetric}</Table.Th>
            <Table.Th>State</Table.Th>
            <Table.Th className="number">Billed</Table.Th>
            <Table.Th>Job</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {(sweep.trials ?? []).map((trial) => (
            <Row key={trial.number} trial={trial} names={names} best={isBest(sweep, trial)} />
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}

function isBest(sweep: Sweep, { trainingJob = "" }: Trial): boolean {
  return trainingJob !== "" && trainingJob === sweep.bestTrainingJob;
}

function Row({ trial, names, best }: { trial: Trial; names: string[]; best: boolean }) {
  const { trainingJob = "" } = trial;
  return (
    <Table.Tr className="way" data-chosen={best || undefined}>
      <Table.Td className="number">{trial.number}</Table.Td>
      {names.map((name) => (
        <Table.Td key={name} className="number">
          {printable(valueText(trial.parameters?.[name]))}
        </Table.Td>
      ))}
      <Table.Td className="number">
        {best && (
          <Badge size="xs" variant="light" color="green" mr={6} miw="max-content">
            best
          </Badge>
        )}
        {trial.hasValue && metric(trial.value ?? NaN)}
      </Table.Td>
      <Table.Td>{trainingJob === "" ? <Text size="sm" c="dimmed">to start</Text> : <TrialState trial={trial} />}</Table.Td>
      <Table.Td className="number">{trainingJob !== "" && duration(Number(trial.billedSeconds ?? 0))}</Table.Td>
      <Table.Td>
        {trainingJob !== "" && (
          <Anchor inherit component={Link} to={`/training/${idOf(trainingJob)}`}>
            {idOf(trainingJob)}
          </Anchor>
        )}
      </Table.Td>
    </Table.Tr>
  );
}

function TrialState({ trial: { state = "STATE_UNSPECIFIED", failure } }: { trial: Trial }) {
  return (
    <>
      <Text size="sm" span c={state === "FAILED" ? "var(--mantine-color-error)" : undefined}>
        {state}
      </Text>
      {failure?.message && (
        <Text size="xs" c="dimmed" className="cell">
          {printable(failure.message)}
        </Text>
      )}
    </>
  );
}

function factsOf(sweep: Sweep): [string, ReactNode][] {
  const version = sweep.trainingJob?.datasetVersion ?? "";
  return [
    ...sweptNames(sweep).map((name): [string, ReactNode] => [printable(name), printable(rangeText(sweep.parameters?.[name] ?? {}))]),
    ["Strategy", sweep.strategy],
    ["Goal", `${sweep.goal ?? ""} ${sweep.objectiveMetric ?? ""}`],
    ["At a time", sweep.parallelTrials],
    ["Failed trials tolerated", sweep.maxFailedTrials],
    ["Recipe", idOf(sweep.trainingJob?.recipe)],
    [
      "Dataset version",
      <Anchor component={Link} to={`/${version}`} inherit>
        {version}
      </Anchor>,
    ],
    ["In common", <Parameters values={sweep.trainingJob?.parameters ?? {}} />],
    ["Made", time(sweep.createTime)],
    ["Ended", time(sweep.endTime)],
  ];
}
