import { Anchor, Button, Table, Text } from "@mantine/core";
import { Link } from "react-router";

import { idOf } from "../api/names";
import { useJobs } from "../api/queries";
import { duration, metric, time } from "../ui/format";
import { Loaded } from "../ui/outcome";
import { Card, Page } from "../ui/page";
import { StateBadge } from "../ui/state-badge";
import { UsageCard } from "./usage-card";

export function JobsPage() {
  const jobs = useJobs();
  return (
    <Page
      title="Training"
      actions={
        <Button component={Link} to="/training/new">
          New training job
        </Button>
      }
    >
      <UsageCard />
      <Card title="Training jobs">
        <Loaded query={jobs} what="your training jobs">
          {(list) =>
            list.length === 0 ? (
              <Text c="dimmed">None yet. A training job needs a dataset version that is READY.</Text>
            ) : (
              <div className="scroll">
                <Table aria-label="Training jobs">
                  <Table.Thead>
                    <Table.Tr>
                      <Table.Th>Job</Table.Th>
                      <Table.Th>State</Table.Th>
                      <Table.Th>Recipe</Table.Th>
                      <Table.Th>Dataset version</Table.Th>
                      <Table.Th className="number">Validation accuracy</Table.Th>
                      <Table.Th className="number">Billed</Table.Th>
                      <Table.Th>Begun</Table.Th>
                    </Table.Tr>
                  </Table.Thead>
                  <Table.Tbody>
                    {list.map((job) => {
                      const accuracy = job.metrics?.["validation:accuracy"];
                      return (
                        <Table.Tr key={job.name}>
                          <Table.Td>
                            <Anchor inherit component={Link} to={`/training/${idOf(job.name)}`}>
                              {idOf(job.name)}
                            </Anchor>
                          </Table.Td>
                          <Table.Td>
                            <StateBadge state={job.state} />
                          </Table.Td>
                          <Table.Td>{idOf(job.recipe)}</Table.Td>
                          <Table.Td>{(job.datasetVersion ?? "").split("/").filter((_, i) => i % 2).join(", version ")}</Table.Td>
                          <Table.Td className="number">{accuracy !== undefined && metric(accuracy)}</Table.Td>
                          <Table.Td className="number">{duration(job.billedSeconds ?? 0)}</Table.Td>
                          <Table.Td>{time(job.createTime)}</Table.Td>
                        </Table.Tr>
                      );
                    })}
                  </Table.Tbody>
                </Table>
              </div>
            )
          }
        </Loaded>
      </Card>
    </Page>
  );
}
