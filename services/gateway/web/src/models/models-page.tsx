import { Anchor, Table, Text } from "@mantine/core";
import { Link } from "react-router";

import { idOf } from "../api/names";
import { useModels } from "../api/queries";
import { bytes, count, metric, time } from "../ui/format";
import { Loaded } from "../ui/outcome";
import { Card, Page } from "../ui/page";

export function ModelsPage() {
  const models = useModels();
  return (
    <Page title="Models">
      <Card title="Your models">
        <Loaded query={models} what="your models">
          {(list) =>
            list.length === 0 ? (
              <Text c="dimmed">None yet. A training job that succeeds leaves its model here.</Text>
            ) : (
              <div className="scroll">
                <Table aria-label="Your models">
                  <Table.Thead>
                    <Table.Tr>
                      <Table.Th>Model</Table.Th>
                      <Table.Th>Dataset version</Table.Th>
                      <Table.Th className="number">Classes</Table.Th>
                      <Table.Th className="number">Validation accuracy</Table.Th>
                      <Table.Th className="number">Size</Table.Th>
                      <Table.Th>Made</Table.Th>
                    </Table.Tr>
                  </Table.Thead>
                  <Table.Tbody>
                    {list.map((model) => {
                      const accuracy = model.metrics?.["validation:accuracy"];
                      return (
                        <Table.Tr key={model.name}>
                          <Table.Td>
                            <Anchor inherit component={Link} to={`/${model.name ?? ""}`}>
                              {idOf(model.name)}
                            </Anchor>
                          </Table.Td>
                          <Table.Td>{model.lineage?.datasetVersion}</Table.Td>
                          <Table.Td className="number">{count(model.labels?.length)}</Table.Td>
                          <Table.Td className="number">{accuracy !== undefined && metric(accuracy)}</Table.Td>
                          <Table.Td className="number">{bytes(model.sizeBytes)}</Table.Td>
                          <Table.Td>{time(model.createTime)}</Table.Td>
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
