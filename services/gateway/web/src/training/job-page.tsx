import { Anchor, Button, Code } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link, useParams } from "react-router";

import { answer, api } from "../api/client";
import { keys } from "../api/keys";
import { idOf } from "../api/names";
import { useJob } from "../api/queries";
import type { TrainingJob } from "../api/types";
import { time } from "../ui/format";
import { ErrorNote, FailureNote, Loaded } from "../ui/outcome";
import { Card, Facts, Page } from "../ui/page";
import { StateBadge } from "../ui/state-badge";
import { JobLog } from "./job-log";
import { Learning } from "./learning";
import { Phases } from "./phases";
import { Metrics, Parameters } from "./values";

export function JobPage() {
  const { job: id = "" } = useParams();
  const name = `trainingJobs/${id}`;
  const job = useJob(name);
  const client = useQueryClient();
  const stop = useMutation({
    mutationFn: () =>
      answer(api.POST("/v1/trainingJobs/{name}:stop", { params: { path: { name: id } }, body: {} })),
    onSuccess: (stopped) => client.setQueryData(keys.job(name), stopped),
  });
  const state = job.data?.state;
  return (
    <Page
      title={`Training job ${id}`}
      actions={
        <>
          <StateBadge state={state} />
          {(state === "QUEUED" || state === "RUNNING") && (
            <Button variant="default" color="red" onClick={() => stop.mutate()} loading={stop.isPending}>
              Stop
            </Button>
          )}
          {job.data?.model && (
            <Button component={Link} to={`/models/${idOf(job.data.model)}`}>
              Open the model
            </Button>
          )}
        </>
      }
    >
      {stop.error && <ErrorNote title="The job was not stopped" error={stop.error} />}
      <Loaded query={job} what="this training job">
        {(data) => (
          <>
            {data.failure && data.state === "FAILED" && (
              <FailureNote title="This training failed" failure={data.failure} />
            )}
            <Card title="Progress">
              <Phases job={data} heardAt={job.dataUpdatedAt} />
            </Card>
            <Card title="Learning">
              <Learning job={data} />
            </Card>
            <div className="columns">
              <Card title="Newest metrics">
                <Metrics values={data.metrics ?? {}} />
              </Card>
              <Card title="About this job">
                <Facts facts={factsOf(data)} />
              </Card>
            </div>
            <Card title="Log">
              <JobLog job={data} />
            </Card>
          </>
        )}
      </Loaded>
    </Page>
  );
}

function factsOf(job: TrainingJob): [string, ReactNode][] {
  const version = job.datasetVersion ?? "";
  return [
    ["Recipe", idOf(job.recipe)],
    [
      "Dataset version",
      <Anchor component={Link} to={`/${version}`} inherit>
        {version}
      </Anchor>,
    ],
    ["Base datasets", (job.baseDatasets ?? []).map(idOf).join(", ") || "none"],
    ["Parameters", <Parameters values={job.parameters ?? {}} />],
    ["Instance", job.resources?.instanceType],
    ["SageMaker's name", <Code>{job.sagemakerJobName}</Code>],
    ["Made", time(job.createTime)],
    ["Begun", time(job.startTime)],
    ["Ended", time(job.endTime)],
  ];
}
