import { Alert, Anchor, Button, NativeSelect, Stack, Switch, Text } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { Link, useNavigate } from "react-router";

import { answer, api } from "../api/client";
import { keys } from "../api/keys";
import { datasetOf, idOf, newRequestId } from "../api/names";
import { useVersions } from "../api/queries";
import { useEstimate, usePreflight } from "../api/training";
import type { BaseDataset, Dataset, Recipe, TrainingJob } from "../api/types";
import { newSweepDraft, problemWithAxis, sweepToSend, trialsOf } from "../sweeps/sweep-draft";
import { SweepFields } from "../sweeps/sweep-fields";
import { Card } from "../ui/page";
import { DataFields, titleOf } from "./data-fields";
import { Estimates } from "./estimates";
import { fieldErrors } from "./field-errors";
import { type Draft, type Entered, jobToSend, newDraft, tagsOf, withRecipe } from "./job-draft";
import { MachineFields } from "./machine-fields";
import { NotMade } from "./not-made";
import { ParameterField } from "./parameter-field";
import { problemWith } from "./parameters";
import { Preflight } from "./preflight";

interface Props {
  recipes: Recipe[];
  datasets: Dataset[];
  baseDatasets: BaseDataset[];
  /** The version to begin with, `datasets/{dataset}/versions/{number}`; may be empty. */
  version: string;
  /** Whether it begins as a sweep. */
  sweep: boolean;
}

// The form is asked about when it has rested for so long.
const rest = 600;

/** Everything a training job is made of, with what would go wrong and what it would cost beside it; or a sweep of such jobs. */
export function JobForm({ recipes, datasets, baseDatasets, version: wanted, sweep: sweptAtFirst }: Props) {
  const [draft, setDraft] = useState(() =>
    newDraft(recipes[0], wanted === "" ? (datasets[0]?.name ?? "") : datasetOf(wanted), wanted),
  );
  const [swept, setSwept] = useState(sweptAtFirst);
  const [sweep, setSweep] = useState(newSweepDraft);
  const [jobsPerMonth, setJobsPerMonth] = useState<Entered>(1);
  const change = (part: Partial<Draft>) => setDraft((known) => ({ ...known, ...part }));

  const recipe = recipes.find((one) => one.name === draft.recipe);
  const parameters = recipe?.parameters ?? [];
  const versions = useVersions(draft.dataset);
  const ready = versions.data?.filter((one) => one.state === "READY");
  const version = ready?.find((one) => one.name === draft.version) ?? ready?.[0];

  const axes = swept ? sweep.axes : [];
  const problems = parameters.map((parameter) => problemWith(parameter, draft.values[parameter.name ?? ""]));
  const axisProblems = axes.map((axis) => problemWithAxis(parameters.find(({ name }) => name === axis.name) ?? {}, axis));
  const complete = recipe !== undefined && version !== undefined && tagsOf(draft.tags) !== undefined && problems.every((one) => one === undefined);
  const trials = swept ? trialsOf(sweep, parameters) : 1;
  const valid = complete && trials > 0 && axisProblems.every((one) => one === undefined);

  const job = complete ? jobToSend(draft, recipe, version.name ?? "", axes.map((axis) => axis.name)) : undefined;
  const asked = useRested(job);
  const preflight = usePreflight(asked && JSON.stringify(asked));
  const estimate = useEstimate(asked && JSON.stringify({ ...asked, overrideChecks: [] }), Number(jobsPerMonth) || 1);
  const create = useCreate();
  const errors = fieldErrors(create.error, preflight.error, estimate.error);

  if (recipe === undefined) {
    return <Alert color="orange">The server offers no recipe. Ask its operator to configure one.</Alert>;
  }
  if (datasets.length === 0) {
    return (
      <Text>
        There is nothing to train on yet.{" "}
        <Anchor component={Link} to="/datasets">
          Upload a dataset
        </Anchor>{" "}
        first.
      </Text>
    );
  }
  const override = (check: string, overridden: boolean) =>
    change({ overrides: overridden ? [...draft.overrides, check] : draft.overrides.filter((one) => one !== check) });
  return (
    <form
      className="job-form"
      onChange={() => create.reset()}
      onSubmit={(event) => {
        event.preventDefault();
        if (job !== undefined) {
          create.mutate({ job, sweep: swept ? sweepToSend(sweep, parameters, job) : undefined });
        }
      }}
    >
      <Stack gap="lg">
        <Card title="Data">
          <DataFields {...{ draft, change, recipe, datasets, baseDatasets, ready, version, errors }} />
        </Card>
        <Card title="Recipe">
          <Stack gap="sm">
            <NativeSelect
              label="Recipe"
              description={recipe.description ?? ""}
              data={recipes.map((one) => ({ value: one.name ?? "", label: titleOf(one) }))}
              value={draft.recipe}
              error={errors.recipe}
              onChange={(event) => {
                setDraft(withRecipe(draft, recipes.find((one) => one.name === event.currentTarget.value)));
                setSweep(newSweepDraft);
              }}
            />
            {parameters.map((parameter, index) => {
              const name = parameter.name ?? "";
              return (
                !axes.some((axis) => axis.name === name) && (
                  <ParameterField
                    key={`${draft.recipe} ${name}`}
                    parameter={parameter}
                    value={draft.values[name] ?? ""}
                    error={problems[index] ?? errors[`parameters.${name}`]}
                    onChange={(value) => setDraft((known) => ({ ...known, values: { ...known.values, [name]: value } }))}
                  />
                )
              );
            })}
          </Stack>
        </Card>
        <Card title="Sweep">
          <Stack gap="sm">
            <Switch
              label="Train many jobs to find the best parameters"
              checked={swept}
              onChange={(event) => setSwept(event.currentTarget.checked)}
            />
            {swept && <SweepFields draft={sweep} onChange={setSweep} recipe={recipe} errors={errors} />}
          </Stack>
        </Card>
        <section className="card" aria-label="Machine and money">
          <MachineFields {...{ draft, change, recipe, errors }} />
        </section>
      </Stack>
      <div className="outlook">
        <Stack gap="lg" data-stale={estimate.isPlaceholderData || preflight.isPlaceholderData || undefined} aria-busy={preflight.isFetching}>
          <Card title={swept ? "Estimate of each trial" : "Estimate"}>
            <Estimates
              query={estimate}
              trials={trials}
              inputMode={draft.inputMode}
              onChoose={(inputMode) => change({ inputMode })}
              jobsPerMonth={jobsPerMonth}
              onJobsPerMonth={setJobsPerMonth}
            />
          </Card>
          <Card title="Preflight">
            <Preflight query={preflight} overrides={draft.overrides} onOverride={override} />
          </Card>
        </Stack>
        {create.error && <NotMade what={swept ? "sweep" : "job"} error={create.error} />}
        <div>
          <Button type="submit" disabled={!valid} loading={create.isPending}>
            {swept ? `Start the sweep of ${trials} ${trials === 1 ? "trial" : "trials"}` : "Start training"}
          </Button>
        </div>
      </div>
    </form>
  );
}

/** The job once it has rested, to be asked about; undefined while it changes. */
function useRested(job: TrainingJob | undefined): TrainingJob | undefined {
  const text = JSON.stringify(job);
  const [rested] = useDebouncedValue(text, rest);
  return rested === text ? job : undefined;
}

/** Makes a job, or a sweep where there is one, and goes to its page. */
function useCreate() {
  const navigate = useNavigate();
  const client = useQueryClient();
  // Repeating a request whose answer was lost must not start a second job; a form that was changed since is another request.
  const last = useRef({ sent: "", id: "" });
  const requestId = (body: unknown): string => {
    const sent = JSON.stringify(body);
    if (last.current.sent !== sent) last.current = { sent, id: newRequestId() };
    return last.current.id;
  };
  return useMutation({
    mutationFn: ({ job, sweep }: { job: TrainingJob; sweep: Parameters<typeof makeSweep>[0] | undefined }) =>
      sweep === undefined ? makeJob(job, requestId(job)) : makeSweep(sweep, requestId(sweep)),
    onSuccess: async ({ name = "" }, { sweep }) => {
      await client.invalidateQueries({ queryKey: sweep === undefined ? keys.jobs() : keys.sweeps() });
      await navigate(`/${sweep === undefined ? "training" : "sweeps"}/${idOf(name)}`);
    },
  });
}

function makeJob(job: TrainingJob, requestId: string): Promise<{ name?: string }> {
  return answer(api.POST("/v1/trainingJobs", { params: { query: { requestId } }, body: job }));
}

function makeSweep(sweep: ReturnType<typeof sweepToSend>, requestId: string): Promise<{ name?: string }> {
  return answer(api.POST("/v1/sweeps", { params: { query: { requestId } }, body: sweep }));
}
