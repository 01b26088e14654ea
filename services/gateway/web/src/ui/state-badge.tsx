import { Badge } from "@mantine/core";

import type { JobState, SweepState, VersionState } from "../api/types";

const colors: Record<VersionState | JobState | SweepState, string> = {
  STATE_UNSPECIFIED: "gray",
  UPLOADING: "cyan",
  UPLOADED: "cyan",
  CONVERTING: "cyan",
  READY: "green",
  EXPIRED: "gray",
  ABORTED: "gray",
  QUEUED: "gray",
  RUNNING: "cyan",
  STOPPING: "orange",
  SUCCEEDED: "green",
  STOPPED: "gray",
  FAILED: "red",
};

/** A version's, a job's or a sweep's state, in the API's own word. */
export function StateBadge({ state = "STATE_UNSPECIFIED" }: { state?: VersionState | JobState | SweepState | undefined }) {
  return (
    <Badge variant="light" color={colors[state]} miw="max-content" data-testid="state">
      {state}
    </Badge>
  );
}
