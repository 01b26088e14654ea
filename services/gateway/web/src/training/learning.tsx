import { Text } from "@mantine/core";

import { useJobMetrics } from "../api/queries";
import type { TrainingJob } from "../api/types";
import { LineChart } from "../ui/line-chart";
import { Loaded } from "../ui/outcome";
import { curves } from "./curves";

/** Live curves of a job's metrics. */
export function Learning({ job }: { job: TrainingJob }) {
  const points = useJobMetrics(job.name ?? "");
  return (
    <Loaded query={points} what="the metrics">
      {(list) => {
        const charts = curves(list);
        return charts.length === 0 ? (
          <Text c="dimmed">The curves begin with the first metrics that training prints.</Text>
        ) : (
          <div className="columns">
            {charts.map((chart) => (
              <LineChart key={chart.title} title={chart.title} xName="Epoch" series={chart.series} />
            ))}
          </div>
        );
      }}
    </Loaded>
  );
}
