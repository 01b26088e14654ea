import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";

import { usePollWhileOffline } from "../live/context";
import { keepNewest, keepNewestOfEach } from "../live/newest";
import { allPages, answer, api } from "./client";
import { keys } from "./keys";
import { idOf } from "./names";
import type { LogLine } from "./types";

// Lists are read whole, in the largest pages there are.
const pageSize = 1000;

export function useDatasets() {
  return useQuery({
    queryKey: keys.datasets(),
    refetchInterval: usePollWhileOffline(),
    queryFn: async () => {
      const pages = await allPages((pageToken) =>
        answer(api.GET("/v1/datasets", { params: { query: { pageSize, pageToken } } })),
      );
      return pages.flatMap((page) => page.datasets ?? []);
    },
  });
}

export function useDataset(name: string) {
  return useQuery({
    queryKey: keys.dataset(name),
    queryFn: () => answer(api.GET("/v1/datasets/{name}", { params: { path: { name: idOf(name) } } })),
  });
}

/** Versions of a dataset, newest first. An empty name fetches nothing. */
export function useVersions(dataset: string) {
  return useQuery({
    queryKey: keys.versions(dataset),
    enabled: dataset !== "",
    refetchInterval: usePollWhileOffline(),
    structuralSharing: keepNewestOfEach,
    queryFn: () => listVersions(dataset),
  });
}

export async function listVersions(dataset: string) {
  const pages = await allPages((pageToken) =>
    answer(
      api.GET("/v1/datasets/{parent}/versions", {
        params: { path: { parent: idOf(dataset) }, query: { pageSize, pageToken } },
      }),
    ),
  );
  return pages.flatMap((page) => page.versions ?? []);
}

export function useVersion(name: string) {
  return useQuery({
    queryKey: keys.version(name),
    refetchInterval: usePollWhileOffline(),
    structuralSharing: keepNewest,
    queryFn: () => getVersion(name),
  });
}

export function getVersion(name: string) {
  return answer(api.GET("/v1/datasets/{name}/versions/{name_1}", { params: { path: versionPath(name) } }));
}

/** The path parameters of `datasets/{name}/versions/{name_1}`. */
export function versionPath(version: string): { name: string; name_1: string } {
  const [, name = "", , number = ""] = version.split("/");
  return { name, name_1: number };
}

/** Files left out of a version, page by page. */
export function useRejections(version: string, enabled: boolean) {
  return useInfiniteQuery({
    queryKey: keys.rejections(version),
    enabled,
    initialPageParam: "",
    queryFn: ({ pageParam }) => {
      const { name: parent, name_1: parent_1 } = versionPath(version);
      return answer(
        api.GET("/v1/datasets/{parent}/versions/{parent_1}/rejections", {
          params: { path: { parent, parent_1 }, query: { pageSize: 50, pageToken: pageParam } },
        }),
      );
    },
    getNextPageParam: ({ nextPageToken = "" }) => (nextPageToken === "" ? null : nextPageToken),
  });
}

/** Examples of a READY version, page by page. They don't change any more. */
export function useExamples(version: string, split: string, className: string) {
  return useInfiniteQuery({
    queryKey: keys.examples(version, split, className),
    staleTime: Infinity,
    initialPageParam: "",
    queryFn: ({ pageParam }) => {
      const { name: parent, name_1: parent_1 } = versionPath(version);
      return answer(
        api.GET("/v1/datasets/{parent}/versions/{parent_1}/examples", {
          params: { path: { parent, parent_1 }, query: { split, class: className, pageSize: 24, pageToken: pageParam } },
        }),
      );
    },
    getNextPageParam: ({ nextPageToken = "" }) => (nextPageToken === "" ? null : nextPageToken),
  });
}

/** What is in a READY version, in numbers. They don't change any more. */
export function useStatistics(version: string) {
  return useQuery({
    queryKey: keys.statistics(version),
    staleTime: Infinity,
    queryFn: () =>
      answer(api.GET("/v1/datasets/{name}/versions/{name_1}/statistics", { params: { path: versionPath(version) } })),
  });
}

/** Files of a READY version to download, page by page. They are asked for again before their URLs stop working. */
export function useFiles(version: string, enabled: boolean) {
  return useInfiniteQuery({
    queryKey: keys.files(version),
    enabled,
    refetchInterval: 30 * 60_000,
    initialPageParam: "",
    queryFn: ({ pageParam }) => listFiles(version, 50, pageParam),
    getNextPageParam: ({ nextPageToken = "" }) => (nextPageToken === "" ? null : nextPageToken),
  });
}

export function listFiles(version: string, pageSize: number, pageToken = "") {
  const { name: parent, name_1: parent_1 } = versionPath(version);
  return answer(
    api.GET("/v1/datasets/{parent}/versions/{parent_1}/shards", {
      params: { path: { parent, parent_1 }, query: { pageSize, pageToken } },
    }),
  );
}

/** The formats that the converter understands. */
export function useFormats() {
  return useQuery({
    queryKey: keys.formats(),
    staleTime: Infinity,
    queryFn: async () => (await allPages((pageToken) => answer(
      api.GET("/v1/formats", { params: { query: { pageToken } } }),
    ))).flatMap((page) => page.formats ?? []),
  });
}

export function useRecipes() {
  return useQuery({
    queryKey: keys.recipes(),
    queryFn: async () => (await allPages((pageToken) => answer(
      api.GET("/v1/recipes", { params: { query: { pageToken } } }),
    ))).flatMap((page) => page.recipes ?? []),
  });
}

export function useBaseDatasets() {
  return useQuery({
    queryKey: keys.baseDatasets(),
    queryFn: async () => (await allPages((pageToken) => answer(
      api.GET("/v1/baseDatasets", { params: { query: { pageToken } } }),
    ))).flatMap((page) => page.baseDatasets ?? []),
  });
}

export function useJobs() {
  return useQuery({
    queryKey: keys.jobs(),
    refetchInterval: usePollWhileOffline(),
    structuralSharing: keepNewestOfEach,
    queryFn: async () => {
      const pages = await allPages((pageToken) =>
        answer(api.GET("/v1/trainingJobs", { params: { query: { pageSize, pageToken } } })),
      );
      return pages.flatMap((page) => page.trainingJobs ?? []);
    },
  });
}

export function useJob(name: string) {
  return useQuery({
    queryKey: keys.job(name),
    refetchInterval: usePollWhileOffline(),
    structuralSharing: keepNewest,
    queryFn: () => answer(api.GET("/v1/trainingJobs/{name}", { params: { path: { name: idOf(name) } } })),
  });
}

/** All metric points of a job. Live events have them fetched again. */
export function useJobMetrics(name: string) {
  return useQuery({
    queryKey: keys.jobMetrics(name),
    refetchInterval: usePollWhileOffline(),
    queryFn: async () => {
      const pages = await allPages((pageToken) =>
        answer(
          api.GET("/v1/trainingJobs/{parent}/metrics", {
            params: { path: { parent: idOf(name) }, query: { pageSize: 10_000, pageToken } },
          }),
        ),
      );
      return pages.flatMap((page) => page.points ?? []);
    },
  });
}

/** A job's log as far as it was read. */
export interface Log {
  lines: LogLine[];
  /** Where to read on; empty when an ended job was read to its end. */
  nextPageToken: string;
  /** Lines that were let go to bound the page's memory. */
  dropped: number;
}

const linesKept = 5000;
const pollLog = 3000;

/** A job's log, read on from where the last fetch ended, every few seconds until the job's end. */
export function useJobLog(name: string) {
  const client = useQueryClient();
  return useQuery({
    queryKey: keys.jobLogs(name),
    refetchInterval: (query) => (query.state.data?.nextPageToken === "" ? false : pollLog),
    queryFn: async (): Promise<Log> => {
      const known = client.getQueryData<Log>(keys.jobLogs(name));
      const log = known ?? { lines: [], nextPageToken: "", dropped: 0 };
      if (known?.nextPageToken === "") {
        return known;
      }
      const lines = [...log.lines];
      let pageToken = log.nextPageToken;
      let read: number;
      do {
        const page = await answer(
          api.GET("/v1/trainingJobs/{parent}/logs", {
            params: { path: { parent: idOf(name) }, query: { pageSize, pageToken } },
          }),
        );
        read = page.lines?.length ?? 0;
        lines.push(...(page.lines ?? []));
        pageToken = page.nextPageToken ?? "";
      } while (read > 0 && pageToken !== "");
      const over = Math.max(0, lines.length - linesKept);
      return { lines: lines.slice(over), nextPageToken: pageToken, dropped: log.dropped + over };
    },
  });
}

export function useModels() {
  return useQuery({
    queryKey: keys.models(),
    refetchInterval: usePollWhileOffline(),
    queryFn: async () => {
      const pages = await allPages((pageToken) =>
        answer(api.GET("/v1/models", { params: { query: { pageSize, pageToken } } })),
      );
      return pages.flatMap((page) => page.models ?? []);
    },
  });
}

export function useModel(name: string) {
  return useQuery({
    queryKey: keys.model(name),
    queryFn: () => answer(api.GET("/v1/models/{name}", { params: { path: { name: idOf(name) } } })),
  });
}
