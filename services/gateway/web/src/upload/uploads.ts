import type { QueryClient } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";

import { allPages, answer, api } from "../api/client";
import { ApiError, messageOf } from "../api/errors";
import { keys } from "../api/keys";
import { newRequestId } from "../api/names";
import { getVersion, listVersions, versionPath } from "../api/queries";
import { retrying } from "../api/retry";
import type { ConversionOptions, Version } from "../api/types";
import { isOlder } from "../live/newest";
import { Hasher } from "./hasher";
import { putPart } from "./put";
import { Speed } from "./speed";
import { type Progress, transfer, type Transport } from "./transfer";

/** An upload of this page. It goes on while the user looks at other pages of ours. */
export interface Upload {
  /** `datasets/{dataset}/versions/{number}`. */
  readonly version: string;
  readonly file: File;
  readonly phase: "sending" | "completing" | "paused" | "failed";
  readonly sentBytes: number;
  /** Bytes that an earlier attempt had brought. */
  readonly foundBytes: number;
  readonly bytesPerSecond: number | undefined;
  /** Why it failed. */
  readonly error: string | undefined;
}

// Progress comes with every network buffer; the page needs it a few times a second, and while nothing comes,
// so that the speed falls.
const showEvery = 250;

/** The uploads under way, by version name. */
export class Uploads {
  private uploads: ReadonlyMap<string, Upload> = new Map();
  private readonly stops = new Map<string, AbortController>();
  private readonly listeners = new Set<() => void>();
  private readonly client: QueryClient;

  constructor(client: QueryClient) {
    this.client = client;
    window.addEventListener("beforeunload", (event) => {
      if (this.stops.size > 0) {
        event.preventDefault();
      }
    });
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly snapshot = (): ReadonlyMap<string, Upload> => this.uploads;

  /**
   * Begins to upload a file as a new version, and makes the dataset if it isn't there. An unfinished upload
   * of a file with the same name and size is taken up instead. Gives the version's name once bytes flow.
   */
  async start(dataset: string, file: File, conversion: ConversionOptions): Promise<string> {
    await createDataset(dataset.slice("datasets/".length));
    const unfinished = (await listVersions(dataset)).find((version) => fits(version, file));
    const version = unfinished ?? (await this.createVersion(dataset, file, conversion));
    this.run(version, file);
    return version.name ?? "";
  }

  /** Takes an unfinished upload up. Throws when the file can't be the one that was begun with. */
  async resume(versionName: string, file: File): Promise<void> {
    const version = await getVersion(versionName);
    if (version.state !== "UPLOADING") {
      this.show(version);
      throw new Error(`This upload can't go on: it is ${(version.state ?? "").toLowerCase()}. Upload a new version.`);
    }
    if (!fits(version, file)) {
      throw new Error(
        `That is another file: choose ${version.fileName ?? ""} of ${version.sizeBytes ?? "0"} bytes, as when the upload began.`,
      );
    }
    this.run(version, file);
  }

  /** Stops sending; what S3 has stays there until the upload expires. */
  pause(version: string): void {
    this.stops.get(version)?.abort(new DOMException("paused", "AbortError"));
  }

  /** Gives an upload up, whether this page sends it or not. */
  async cancel(version: string): Promise<void> {
    this.pause(version);
    this.show(
      await answer(
        api.POST("/v1/datasets/{name}/versions/{name_1}:abortUpload", {
          params: { path: versionPath(version) },
          body: {},
        }),
      ),
    );
    this.update(version, undefined);
  }

  private async createVersion(dataset: string, file: File, conversion: ConversionOptions): Promise<Version> {
    const requestId = newRequestId();
    const created = await retrying(
      () =>
        answer(
          api.POST("/v1/datasets/{parent}/versions", {
            params: { path: { parent: dataset.slice("datasets/".length) }, query: { requestId } },
            body: { fileName: file.name, sizeBytes: String(file.size), conversion },
          }),
        ),
      undefined,
      3,
    );
    await this.client.invalidateQueries({ queryKey: keys.versions(dataset) });
    return created;
  }

  private run(version: Version, file: File): void {
    const name = version.name ?? "";
    if (this.stops.has(name)) {
      return;
    }
    const stop = new AbortController();
    this.stops.set(name, stop);
    this.update(name, {
      version: name,
      file,
      phase: "sending",
      sentBytes: 0,
      foundBytes: 0,
      bytesPerSecond: undefined,
      error: undefined,
    });
    this.send(version, file, stop.signal)
      .then(() => this.update(name, undefined))
      .catch((error: unknown) =>
        this.update(name, stop.signal.aborted ? { phase: "paused" } : { phase: "failed", error: messageOf(error) }),
      )
      .finally(() => this.stops.delete(name));
  }

  private async send(version: Version, file: File, signal: AbortSignal): Promise<void> {
    const name = version.name ?? "";
    const hasher = new Hasher();
    const speed = new Speed();
    let progress: Progress = { sentBytes: 0, foundBytes: 0 };
    const timer = setInterval(() => {
      const { sentBytes, foundBytes } = progress;
      speed.note(sentBytes - foundBytes, performance.now());
      this.update(name, { sentBytes, foundBytes, bytesPerSecond: speed.bytesPerSecond });
    }, showEvery);
    try {
      await transfer(
        file,
        Number(version.upload?.partSizeBytes ?? file.size),
        transportFor(name, hasher),
        (now) => (progress = now),
        signal,
      );
      clearInterval(timer);
      this.update(name, { phase: "completing", sentBytes: file.size });
      const complete = () =>
        answer(
          api.POST("/v1/datasets/{name}/versions/{name_1}:completeUpload", {
            params: { path: versionPath(name) },
            body: {},
            signal,
          }),
        );
      this.show(await retrying(complete, signal));
    } finally {
      clearInterval(timer);
      hasher.close();
    }
  }

  /** Shows an answer about a version at once, before its event comes. */
  private show(version: Version): void {
    this.client.setQueryData<Version>(keys.version(version.name ?? ""), (known) =>
      isOlder(version, known) ? known : version,
    );
  }

  private update(version: string, change: Partial<Upload> | undefined): void {
    const known = this.uploads.get(version);
    const next = new Map(this.uploads);
    if (change === undefined) {
      next.delete(version);
    } else if (known !== undefined || change.file !== undefined) {
      next.set(version, { ...known, ...change } as Upload);
    }
    this.uploads = next;
    this.listeners.forEach((listener) => listener());
  }
}

async function createDataset(datasetId: string): Promise<void> {
  try {
    await answer(api.POST("/v1/datasets", { params: { query: { datasetId } }, body: {} }));
  } catch (error) {
    if (!(error instanceof ApiError && error.reason === "RESOURCE_EXISTS")) {
      throw error;
    }
  }
}

function fits(version: Version, file: File): boolean {
  return (
    version.state === "UPLOADING" && version.fileName === file.name && Number(version.sizeBytes) === file.size
  );
}

function transportFor(version: string, hasher: Hasher): Transport {
  const path = versionPath(version);
  return {
    crc32c: (body) => hasher.crc32c(body),
    listParts: async (signal) => {
      const pages = await allPages((pageToken) =>
        answer(
          api.GET("/v1/datasets/{name}/versions/{name_1}/parts", { params: { path, query: { pageToken } }, signal }),
        ),
      );
      return pages
        .flatMap((page) => page.parts ?? [])
        .map((part) => ({
          number: part.partNumber ?? 0,
          sizeBytes: Number(part.sizeBytes ?? 0),
          crc32c: part.crc32c ?? "",
        }));
    },
    sign: async (parts, signal) => {
      const signed = await answer(
        api.POST("/v1/datasets/{name}/versions/{name_1}:signParts", { params: { path }, body: { parts }, signal }),
      );
      return signed.parts ?? [];
    },
    put: putPart,
  };
}

/** The uploads of this page, by version name. */
export function useUploadList(uploads: Uploads): ReadonlyMap<string, Upload> {
  return useSyncExternalStore(uploads.subscribe, uploads.snapshot);
}
