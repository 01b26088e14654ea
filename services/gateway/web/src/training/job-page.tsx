import { Button, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useParams } from "react-router";

import { answer, api } from "../api/client";
import { keys } from "../api/keys";
import { idOf } from "../api/names";
import { useJob } from "../api/queries";
import type { TrainingJob } from "../api/types";
import { ErrorNote, Loaded } from "../ui/outcome";
import { Card, Page } from "../ui/page";
import { StateBadge } from "../ui/state-badge";
import { AboutJob } from "./about-job";
import { CheckList } from "./check-list";
import { groupChecks } from "./checks";
import { JobFailure } from "./job-failure";
import { JobLog } from "./job-log";
import { Learning } from "./learning";
import { LedgerCard } from "./ledger-card";
import { NotMade } from "./not-made";
import { Phases } from "./phases";
import { Notes } from "./preflight";
import { canResume, ResumeButton } from "./resume-button";
import { Metrics } from "./values";

export function JobPage() {
  const { job: id = "" } = useParams();
  // A job that was resumed has another page, with nothing left of this one.
  return <KnownJob key={id} id={id} />;
}

function KnownJob({ id }: { id: string }) {
  const name = `trainingJobs/${id}`;
  const job = useJob(name);
  const client = useQueryClient();
  const [notResumed, setNotResumed] = useState<unknown>();
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
          {job.data?.sweep && (
            <Button variant="default" component={Link} to={`/${job.data.sweep}`}>
              Its sweep
            </Button>
          )}
          {job.data && canResume(job.data) && <ResumeButton name={name} onError={setNotResumed} />}
          {job.data?.model && (
            <Button component={Link} to={`/models/${idOf(job.data.model)}`}>
              Open the model
            </Button>
          )}
        </>
      }
    >
      {stop.error && <ErrorNote title="The job was not stopped" error={stop.error} />}
      {notResumed !== undefined && <NotMade what="job" error={notResumed} />}
      <Loaded query={job} what="this training job">
        {(data) => <Body job={data} heardAt={job.dataUpdatedAt} />}
      </Loaded>
    </Page>
  );
}

function Body({ job, heardAt }: { job: TrainingJob; heardAt: number }) {
  return (
    <>
      {job.failure && job.state === "FAILED" && <JobFailure title="This training failed" failure={job.failure} />}
      <div className="columns">
        <Card title="Progress">
          <Phases job={job} heardAt={heardAt} />
        </Card>
        <Card title="Time and money">
          <LedgerCard job={job} />
        </Card>
      </div>
      <Card title="Learning">
        <Learning job={job} />
      </Card>
      <div className="columns">
        <Card title="Newest metrics">
          <Metrics values={job.metrics ?? {}} />
        </Card>
        <Card title="About this job">
          <AboutJob job={job} />
        </Card>
      </div>
      <Card title="Preflight">
        <Found job={job} />
      </Card>
      <Card title="Log">
        <JobLog job={job} />
      </Card>
    </>
  );
}

/** What preflight found when the job was made, closed, and what was chosen for it. */
function Found({ job }: { job: TrainingJob }) {
  const checks = job.preflight ?? [];
  const summary = groupChecks(checks).map((group) => `${group.checks.length} ${group.title}`);
  return (
    <>
      {checks.length === 0 ? (
        <Text size="sm" c="dimmed">
          Nothing was checked.
        </Text>
      ) : (
        <details>
          <summary>When the job was made: {summary.join(", ")}</summary>
          <div className="opened">
            <CheckList checks={checks} />
          </div>
        </details>
      )}
      <Notes list={job.notes ?? []} />
    </>
  );
}
