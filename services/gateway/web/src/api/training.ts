import { keepPreviousData, useQuery } from "@tanstack/react-query";

import { usePollWhileOffline } from "../live/context";
import { keepNewest, keepNewestOfEach } from "../live/newest";
import { allPages, answer, api } from "./client";
import { keys } from "./keys";
import { idOf } from "./names";
import type { TrainingJob } from "./types";

// What stands beside a form is for that moment, and is not asked for again when the server refuses the job.
const beside = { staleTime: 0, gcTime: 60_000, placeholderData: keepPreviousData, retry: false } as const;

/** What would go wrong with a job, as JSON; undefined asks nothing. A job that isn't asked about any more ends its call. */
export function usePreflight(job: string | undefined) {
  return useQuery({
    ...beside,
    queryKey: keys.preflight(job ?? ""),
    enabled: job !== undefined,
    queryFn: ({ signal }) =>
      answer(api.POST("/v1/trainingJobs:preflight", { body: JSON.parse(job ?? "") as TrainingJob, signal })),
  });
}

/** What a job, as JSON, takes in each way its data can be read; undefined asks nothing. */
export function useEstimate(job: string | undefined, jobsPerMonth: number) {
  return useQuery({
    ...beside,
    queryKey: keys.estimate(job ?? "", jobsPerMonth),
    enabled: job !== undefined,
    queryFn: ({ signal }) =>
      answer(
        api.POST("/v1/trainingJobs:estimate", {
          params: { query: { jobsPerMonth } },
          body: JSON.parse(job ?? "") as TrainingJob,
          signal,
        }),
      ),
  });
}

/** What the project has used of its quotas this month. */
export function useUsage() {
  return useQuery({ queryKey: keys.usage(), queryFn: () => answer(api.GET("/v1/trainingUsage")) });
}

/** The project's sweeps without their trials, newest first. */
export function useSweeps() {
  return useQuery({
    queryKey: keys.sweeps(),
    refetchInterval: usePollWhileOffline(),
    structuralSharing: keepNewestOfEach,
    queryFn: async () => {
      const pages = await allPages((pageToken) =>
        answer(api.GET("/v1/sweeps", { params: { query: { pageSize: 1000, pageToken } } })),
      );
      return pages.flatMap((page) => page.sweeps ?? []);
    },
  });
}

/** A sweep with its trials. Live events have it fetched again. */
export function useSweep(name: string) {
  return useQuery({
    queryKey: keys.sweep(name),
    refetchInterval: usePollWhileOffline(),
    structuralSharing: keepNewest,
    queryFn: () => answer(api.GET("/v1/sweeps/{name}", { params: { path: { name: idOf(name) } } })),
  });
}
