import { QueryClient } from "@tanstack/react-query";
import { beforeEach, describe, expect, it } from "vitest";

import { keys } from "../api/keys";
import type { Event, Sweep, TrainingJob, Version } from "../api/types";
import { applyEvent } from "./cache";

let client: QueryClient;

beforeEach(() => {
  client = new QueryClient();
});

function tell(type: string, payload: object): void {
  const event: Event = { type, resource: (payload as { name: string }).name };
  applyEvent(client, { ...event, payload: payload as Record<string, never> });
}

const version = (state: Version["state"], more: Partial<Version> = {}): Version => ({
  name: "datasets/digits/versions/2",
  state,
  ...more,
});

describe("a version's event", () => {
  it("becomes what is known of it, and its place in a known list", () => {
    client.setQueryData(keys.versions("datasets/digits"), [version("UPLOADED"), { name: "datasets/digits/versions/1" }]);
    tell("version.state", version("CONVERTING"));
    expect(client.getQueryData(keys.version("datasets/digits/versions/2"))).toEqual(version("CONVERTING"));
    expect(client.getQueryData(keys.versions("datasets/digits"))).toEqual([
      version("CONVERTING"),
      { name: "datasets/digits/versions/1" },
    ]);
  });

  it("puts a new version first", () => {
    client.setQueryData(keys.versions("datasets/digits"), [{ name: "datasets/digits/versions/1" }]);
    tell("version.state", version("UPLOADING"));
    expect(client.getQueryData<Version[]>(keys.versions("datasets/digits"))?.map((one) => one.name)).toEqual([
      "datasets/digits/versions/2",
      "datasets/digits/versions/1",
    ]);
  });

  it("doesn't invent a list that nobody fetched: it would miss the rest", () => {
    tell("version.state", version("UPLOADING"));
    expect(client.getQueryData(keys.versions("datasets/digits"))).toBeUndefined();
  });

  it("counts in its dataset", () => {
    client.setQueryData(keys.datasets(), [
      { name: "datasets/digits", latestVersion: 1 },
      { name: "datasets/other", latestVersion: 7 },
    ]);
    tell("version.state", version("UPLOADING"));
    expect(client.getQueryData(keys.datasets())).toEqual([
      { name: "datasets/digits", latestVersion: 2 },
      { name: "datasets/other", latestVersion: 7 },
    ]);
  });

  it("is ignored when it comes late", () => {
    tell("version.state", version("READY", { exampleCount: 5 }));
    tell("version.progress", version("CONVERTING"));
    expect(client.getQueryData(keys.version("datasets/digits/versions/2"))).toEqual(
      version("READY", { exampleCount: 5 }),
    );
  });
});

describe("a training job's event", () => {
  it("keeps what preflight found, which it doesn't bring, and has it fetched where it isn't known", () => {
    const key = keys.job("trainingJobs/k");
    tell("trainingJob.state", { name: "trainingJobs/k", state: "QUEUED", preflight: [] });
    expect(client.getQueryState(key)?.isInvalidated).toBe(true);
    const preflight = [{ check: "s3-route", status: "PASS" as const }];
    client.setQueryData<TrainingJob>(key, { name: "trainingJobs/k", state: "QUEUED", preflight });
    tell("trainingJob.state", { name: "trainingJobs/k", state: "RUNNING", preflight: [] });
    expect(client.getQueryData(key)).toEqual({ name: "trainingJobs/k", state: "RUNNING", preflight });
    expect(client.getQueryState(key)?.isInvalidated).toBe(false);
  });

  const job: TrainingJob = {
    name: "trainingJobs/j",
    state: "RUNNING",
    recipe: "recipes/r",
    datasetVersion: "datasets/digits/versions/2",
  };

  it("becomes what is known of it and has its metrics and log fetched again", () => {
    client.setQueryData(keys.jobMetrics("trainingJobs/j"), []);
    client.setQueryData(keys.jobLogs("trainingJobs/j"), { lines: [] });
    tell("trainingJob.progress", job);
    expect(client.getQueryData(keys.job("trainingJobs/j"))).toEqual(job);
    expect(client.getQueryState(keys.jobMetrics("trainingJobs/j"))?.isInvalidated).toBe(true);
    expect(client.getQueryState(keys.jobLogs("trainingJobs/j"))?.isInvalidated).toBe(true);
  });
});

describe("a sweep's event", () => {
  const name = "sweeps/s";

  it("keeps the trials, which it doesn't bring, and has them fetched again", () => {
    const trials = [{ number: 1, trainingJob: "trainingJobs/j" }];
    client.setQueryData<Sweep>(keys.sweep(name), { name, state: "RUNNING", endedTrialCount: 0, trials });
    client.setQueryData<Sweep[]>(keys.sweeps(), []);
    tell("sweep.progress", { name, state: "RUNNING", endedTrialCount: 1 });
    expect(client.getQueryData(keys.sweep(name))).toEqual({ name, state: "RUNNING", endedTrialCount: 1, trials });
    expect(client.getQueryState(keys.sweep(name))?.isInvalidated).toBe(true);
    expect(client.getQueryData<Sweep[]>(keys.sweeps())?.map((one) => one.endedTrialCount)).toEqual([1]);
  });

  it("of a trial's job has the sweep fetched again", () => {
    client.setQueryData<Sweep>(keys.sweep(name), { name, state: "RUNNING" });
    tell("trainingJob.progress", { name: "trainingJobs/j", state: "RUNNING", sweep: name });
    expect(client.getQueryState(keys.sweep(name))?.isInvalidated).toBe(true);
  });
});

describe("other events", () => {
  it("bring datasets and models", () => {
    client.setQueryData(keys.datasets(), []);
    tell("dataset.created", { name: "datasets/digits" });
    tell("model.created", { name: "models/j" });
    expect(client.getQueryData(keys.datasets())).toEqual([{ name: "datasets/digits" }]);
    expect(client.getQueryData(keys.model("models/j"))).toEqual({ name: "models/j" });
  });

  it("of unknown types do nothing", () => {
    tell("webhook.created", { name: "webhooks/w" });
    expect(client.getQueryCache().getAll()).toEqual([]);
  });
});
