import { Text } from "@mantine/core";

import { useJobMetrics } from "../api/queries";
import type { TrainingJob } from "../api/types";
import { LineChart } from "../ui/line-chart";
import { Loaded } from "../ui/outcome";
import { type Curves, curves } from "./curves";

/** Live curves of a job's metrics. */
export function Learning({ job }: { job: TrainingJob }) {
  const points = useJobMetrics(job.name ?? "");
  return (
    <Loaded query={points} what="the metrics">
      {(list) => {
        const charts = curves(list);
        if (charts.length === 0) {
          return <Text c="dimmed">The curves begin with the first metrics that training prints.</Text>;
        }
        const others = charts.filter((chart) => !chart.main);
        return (
          <>
            <Charts list={charts.filter((chart) => chart.main)} />
            {others.length > 0 && (
              <details style={{ marginTop: "1rem" }}>
                <summary>Other metrics</summary>
                <Charts list={others} />
              </details>
            )}
          </>
        );
      }}
    </Loaded>
  );
}

function Charts({ list }: { list: Curves[] }) {
  return (
    <div className="columns">
      {list.map((chart) => (
        <LineChart key={chart.title} title={chart.title} xName="Epoch" series={chart.series} />
      ))}
    </div>
  );
}
