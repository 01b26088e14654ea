import { Group, Stack, Table, Text } from "@mantine/core";
import { type CSSProperties, useEffect, useState } from "react";

import type { Phase, TrainingJob } from "../api/types";
import { duration } from "../ui/format";

const shades: Record<string, string> = {
  Starting: "var(--mantine-color-gray-5)",
  Downloading: "var(--mantine-color-indigo-5)",
  Training: "var(--mantine-color-cyan-6)",
  Stopping: "var(--mantine-color-orange-5)",
  Uploading: "var(--mantine-color-grape-5)",
};
const otherShade = "var(--mantine-color-gray-6)";

/** Where a job stands and where its time went, as a bar and in figures. heardAt: when the job came, Unix milliseconds. */
export function Phases({ job, heardAt }: { job: TrainingJob; heardAt: number }) {
  const phases = useTicking(job, heardAt);
  const total = phases.reduce((sum, phase) => sum + phase.seconds, 0);
  return (
    <Stack gap="sm">
      <Group justify="space-between">
        <Text aria-live="polite">
          <b>{statusOf(job)}</b>
        </Text>
        <Text size="sm">
          {duration(total)} in all, <b>{duration(job.billedSeconds ?? 0)} billed</b>
        </Text>
      </Group>
      {total > 0 && (
        <>
          <div className="phases" aria-hidden>
            {phases.map((phase) => (
              <span key={phase.name} title={phase.name} style={shareAndShade(phase, total)} />
            ))}
          </div>
          <Table aria-label="Phases" withRowBorders={false} verticalSpacing={2} style={{ width: "auto", alignSelf: "start" }}>
            <Table.Tbody>
              {phases.map((phase) => (
                <Table.Tr key={phase.name}>
                  <Table.Th scope="row">
                    <span className="swatch" style={shareAndShade(phase, total)} />
                    {phase.name}
                  </Table.Th>
                  <Table.Td className="number">{duration(phase.seconds)}</Table.Td>
                  <Table.Td>{phase.running ? "now" : ""}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </>
      )}
    </Stack>
  );
}

interface Ticking {
  name: string;
  seconds: number;
  running: boolean;
}

const ended = new Set(["SUCCEEDED", "FAILED", "STOPPED"]);

/** The phases, the one under way counting on from when we heard of it: clocks of others aren't asked. */
function useTicking(job: TrainingJob, heardAt: number): Ticking[] {
  const running = !ended.has(job.state ?? "");
  const [now, setNow] = useState(heardAt);
  useEffect(() => {
    if (!running) {
      return;
    }
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [running]);
  return (job.phases ?? []).map((phase) => {
    const open = running && isOpen(phase);
    return {
      name: phase.name ?? "",
      seconds: (phase.seconds ?? 0) + (open ? Math.max(0, now - heardAt) / 1000 : 0),
      running: open,
    };
  });
}

function isOpen(phase: Phase): boolean {
  return (phase.endTime ?? "") === "";
}

function shareAndShade(phase: Ticking, total: number): CSSProperties {
  return { "--share": phase.seconds / total, "--shade": shades[phase.name] ?? otherShade } as CSSProperties;
}

function statusOf(job: TrainingJob): string {
  switch (job.state) {
    case "QUEUED":
      return "Waiting to start";
    case "RUNNING":
    case "STOPPING":
      return job.secondaryStatus ?? "Running";
    case "SUCCEEDED":
      return "Completed";
    case "STOPPED":
      return "Stopped";
    case "FAILED":
      return "Failed";
    default:
      return "";
  }
}
