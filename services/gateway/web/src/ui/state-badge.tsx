import { Badge } from "@mantine/core";

import type { JobState, VersionState } from "../api/types";

const colors: Record<VersionState | JobState, string> = {
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

/** A version's or a job's state, in the API's own word. */
export function StateBadge({ state = "STATE_UNSPECIFIED" }: { state?: VersionState | JobState | undefined }) {
  return (
    <Badge variant="light" color={colors[state]} miw="max-content" data-testid="state">
      {state}
    </Badge>
  );
}
