import type { QueryClient } from "@tanstack/react-query";

import { datasetOf, idOf } from "../api/names";
import { keys } from "../api/keys";
import type { Dataset, Event, Model, Sweep, TrainingJob, Version } from "../api/types";
import { isOlder } from "./newest";

/** The types of events that the page reads; an EventSource hears only those it has a listener for. */
export const eventTypes = [
  "dataset.created",
  "version.state",
  "version.progress",
  "trainingJob.state",
  "trainingJob.progress",
  "sweep.state",
  "sweep.progress",
  "model.created",
] as const;

/** Writes what an event tells into the query cache, so that every view of the resource follows. */
export function applyEvent(client: QueryClient, event: Event): void {
  switch (event.type) {
    case "dataset.created":
      putInto(client, keys.dataset, keys.datasets(), event.payload as Dataset);
      break;
    case "version.state":
    case "version.progress":
      putVersion(client, event.payload as Version);
      break;
    case "trainingJob.state":
    case "trainingJob.progress":
      putJob(client, event.payload as TrainingJob, event.type === "trainingJob.state");
      break;
    case "sweep.state":
    case "sweep.progress":
      putSweep(client, event.payload as Sweep, event.type === "sweep.state");
      break;
    case "model.created":
      putInto(client, keys.model, keys.models(), event.payload as Model);
      break;
  }
}

type Resource = Dataset | Version | TrainingJob | Sweep | Model;

function putVersion(client: QueryClient, version: Version): void {
  const name = version.name ?? "";
  const dataset = datasetOf(name);
  putInto(client, keys.version, keys.versions(dataset), version);
  const number = Number(idOf(name));
  const counted = (known: Dataset): Dataset =>
    known.name === dataset && (known.latestVersion ?? 0) < number ? { ...known, latestVersion: number } : known;
  client.setQueryData<Dataset>(keys.dataset(dataset), (known) => known && counted(known));
  client.setQueryData<Dataset[]>(keys.datasets(), (known) => known?.map(counted));
}

/** Events of jobs don't bring what preflight found: what is known of it is kept, and fetched where it isn't. */
function putJob(client: QueryClient, job: TrainingJob, changedState: boolean): void {
  const name = job.name ?? "";
  const key = keys.job(name);
  const { preflight = [] } = client.getQueryData<TrainingJob>(key) ?? {};
  putInto(client, keys.job, keys.jobs(), job);
  // Points and lines aren't in the event either. Progress doesn't cut a running fetch off, lest quick events
  // keep any from ending; a change of state does, for it may be the job's last event.
  const options = { cancelRefetch: changedState };
  if (preflight.length > 0) {
    client.setQueryData<TrainingJob>(key, (known) => known && { ...known, preflight });
  } else {
    void client.invalidateQueries({ queryKey: key }, options);
  }
  void client.invalidateQueries({ queryKey: keys.jobMetrics(name) }, options);
  void client.invalidateQueries({ queryKey: keys.jobLogs(name) }, options);
  if (changedState) {
    void client.invalidateQueries({ queryKey: keys.usage() });
  }
  if (job.sweep !== undefined && job.sweep !== "") {
    void client.invalidateQueries({ queryKey: keys.sweep(job.sweep) }, options);
  }
}

/** Events of sweeps bring no trials: those known are kept until they have been fetched again. */
function putSweep(client: QueryClient, sweep: Sweep, changedState: boolean): void {
  const key = keys.sweep(sweep.name ?? "");
  const { trials } = client.getQueryData<Sweep>(key) ?? {};
  putInto(client, keys.sweep, keys.sweeps(), sweep);
  client.setQueryData<Sweep>(key, (known) => known && trials && { ...known, trials });
  void client.invalidateQueries({ queryKey: key }, { cancelRefetch: changedState });
}

/** Puts a resource at its own key and, where its list is known, into the list: newest first. */
function putInto(
  client: QueryClient,
  key: (name: string) => readonly unknown[],
  listKey: readonly unknown[],
  arrived: Resource,
): void {
  if (arrived.name === undefined || arrived.name === "") {
    return;
  }
  client.setQueryData<Resource>(key(arrived.name), (known) => (isOlder(arrived, known) ? known : arrived));
  client.setQueryData<Resource[]>(listKey, (list) => {
    if (list === undefined) {
      return undefined;
    }
    const at = list.findIndex((item) => item.name === arrived.name);
    if (at < 0) {
      return [arrived, ...list];
    }
    return isOlder(arrived, list[at]) ? list : list.with(at, arrived);
  });
}
