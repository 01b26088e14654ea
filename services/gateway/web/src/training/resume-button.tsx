import { Button } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";

import { answer, api } from "../api/client";
import { keys } from "../api/keys";
import { idOf, newRequestId } from "../api/names";
import type { TrainingJob } from "../api/types";

/** Whether there is something to go on from. */
export function canResume({ state }: TrainingJob): boolean {
  return state === "STOPPED" || state === "FAILED";
}

/** Goes on from a job's checkpoints in a new job. Errors are the page's to show. */
export function ResumeButton({ name, onError }: { name: string; onError: (error: unknown) => void }) {
  const navigate = useNavigate();
  const client = useQueryClient();
  const [requestId] = useState(newRequestId);
  const resume = useMutation({
    mutationFn: () => answer(api.POST("/v1/trainingJobs", { params: { query: { requestId } }, body: { resumeFrom: name } })),
    onSuccess: async (job) => {
      client.setQueryData(keys.job(job.name ?? ""), job);
      await client.invalidateQueries({ queryKey: keys.jobs() });
      await navigate(`/training/${idOf(job.name)}`);
    },
    onError,
  });
  return (
    <Button onClick={() => resume.mutate()} loading={resume.isPending}>
      Resume
    </Button>
  );
}
