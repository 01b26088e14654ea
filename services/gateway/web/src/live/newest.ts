interface Changing {
  name?: string;
  state?: string;
  updateTime?: string;
}

// States only move forward; those of equal rank exclude each other.
const rank: Record<string, number> = {
  UPLOADING: 1,
  UPLOADED: 2,
  CONVERTING: 3,
  READY: 4,
  EXPIRED: 4,
  ABORTED: 4,
  QUEUED: 1,
  RUNNING: 2,
  STOPPING: 3,
  SUCCEEDED: 4,
  STOPPED: 4,
  FAILED: 4,
};

/** Orders RFC 3339 times in UTC, whose fractions may have 0 to 9 digits. */
export function compareTimes(a: string, b: string): number {
  const pad = (time: string) => {
    const [seconds = "", fraction = ""] = time.replace(/Z$/, "").split(".");
    return `${seconds}.${fraction.padEnd(9, "0")}`;
  };
  return pad(a) < pad(b) ? -1 : pad(a) > pad(b) ? 1 : 0;
}

/**
 * Whether `known` is later than `arrived`. Events and answers travel by two ways, so that either may
 * bring an older picture of a resource after a newer one.
 */
export function isOlder(arrived: Changing, known: Changing | undefined): boolean {
  if (known === undefined) {
    return false;
  }
  const forward = (rank[arrived.state ?? ""] ?? 0) - (rank[known.state ?? ""] ?? 0);
  return forward !== 0 ? forward < 0 : compareTimes(arrived.updateTime ?? "", known.updateTime ?? "") < 0;
}

/** For TanStack Query's structuralSharing on one resource: an older answer doesn't replace a newer event. */
export function keepNewest(known: unknown, arrived: unknown): unknown {
  return isOlder(arrived as Changing, known as Changing | undefined) ? known : arrived;
}

/** The same for a list. */
export function keepNewestOfEach(known: unknown, arrived: unknown): unknown {
  const byName = new Map((known as Changing[] | undefined)?.map((item) => [item.name, item]));
  return (arrived as Changing[]).map((item) => keepNewest(byName.get(item.name), item));
}
