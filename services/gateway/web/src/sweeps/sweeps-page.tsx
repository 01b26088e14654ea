import { Anchor, Button, Table, Text } from "@mantine/core";
import { Link } from "react-router";

import { idOf } from "../api/names";
import { useSweeps } from "../api/training";
import type { Sweep } from "../api/types";
import { duration, metric, money, time } from "../ui/format";
import { Loaded } from "../ui/outcome";
import { Card, Page } from "../ui/page";
import { StateBadge } from "../ui/state-badge";
import { sweptNames } from "./trials";

export function SweepsPage() {
  const sweeps = useSweeps();
  return (
    <Page
      title="Sweeps"
      actions={
        <Button component={Link} to="/training/new?sweep">
          New sweep
        </Button>
      }
    >
      <Card title="Your sweeps">
        <Loaded query={sweeps} what="your sweeps">
          {(list) =>
            list.length === 0 ? (
              <Text c="dimmed">None yet. A sweep trains many jobs side by side to find the best parameters.</Text>
            ) : (
              <div className="scroll">
                <Table aria-label="Sweeps">
                  <Table.Thead>
                    <Table.Tr>
                      <Table.Th>Sweep</Table.Th>
                      <Table.Th>State</Table.Th>
                      <Table.Th>Parameters</Table.Th>
                      <Table.Th className="number">Trials</Table.Th>
                      <Table.Th>Objective</Table.Th>
                      <Table.Th className="number">Best</Table.Th>
                      <Table.Th className="number">Billed</Table.Th>
                      <Table.Th>Begun</Table.Th>
                    </Table.Tr>
                  </Table.Thead>
                  <Table.Tbody>
                    {list.map((sweep) => (
                      <Row key={sweep.name} sweep={sweep} />
                    ))}
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

function Row({ sweep }: { sweep: Sweep }) {
  return (
    <Table.Tr>
      <Table.Td>
        <Anchor inherit component={Link} to={`/sweeps/${idOf(sweep.name)}`}>
          {idOf(sweep.name)}
        </Anchor>
      </Table.Td>
      <Table.Td>
        <StateBadge state={sweep.state} />
      </Table.Td>
      <Table.Td>{sweptNames(sweep).join(", ")}</Table.Td>
      <Table.Td className="number">
        {sweep.endedTrialCount ?? 0} of {sweep.trialCount ?? 0}
      </Table.Td>
      <Table.Td>{sweep.objectiveMetric}</Table.Td>
      <Table.Td className="number">{(sweep.bestTrainingJob ?? "") !== "" && metric(sweep.bestValue ?? NaN)}</Table.Td>
      <Table.Td className="number">
        {duration(Number(sweep.billedSeconds ?? 0))}
        {(sweep.currency ?? "") !== "" && `, ${money(sweep.cost, sweep.currency)}`}
      </Table.Td>
      <Table.Td>{time(sweep.createTime)}</Table.Td>
    </Table.Tr>
  );
}
