import { Anchor, Table, Text } from "@mantine/core";
import { Link, useParams } from "react-router";

import { idOf } from "../api/names";
import { useDataset, useVersions } from "../api/queries";
import type { Version } from "../api/types";
import { bytes, count, printable, time } from "../ui/format";
import { Loaded } from "../ui/outcome";
import { Card, Page } from "../ui/page";
import { StateBadge } from "../ui/state-badge";
import { UploadForm } from "./upload-form";

export function DatasetPage() {
  const { dataset: id = "" } = useParams();
  const name = `datasets/${id}`;
  const dataset = useDataset(name);
  const versions = useVersions(name);
  return (
    <Page title={id}>
      <Loaded query={dataset} what="this dataset">
        {({ displayName = "", description = "" }) => (
          <>
            {displayName + description !== "" && (
              <Text className="name">
                <b>{printable(displayName)}</b> {printable(description)}
              </Text>
            )}
            <Card title="Versions">
              <Loaded query={versions} what="its versions">
                {(list) => <Versions list={list} />}
              </Loaded>
            </Card>
            <Card title="Upload a new version">
              <UploadForm dataset={name} />
            </Card>
          </>
        )}
      </Loaded>
    </Page>
  );
}

function Versions({ list }: { list: Version[] }) {
  if (list.length === 0) {
    return <Text c="dimmed">None yet: upload a file below.</Text>;
  }
  return (
    <div className="scroll">
      <Table aria-label="Versions">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Version</Table.Th>
            <Table.Th>State</Table.Th>
            <Table.Th>File</Table.Th>
            <Table.Th className="number">Size</Table.Th>
            <Table.Th className="number">Examples</Table.Th>
            <Table.Th>Begun</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {list.map((version) => (
            <Table.Tr key={version.name}>
              <Table.Td>
                <Anchor inherit component={Link} to={`/${version.name ?? ""}`}>
                  Version {idOf(version.name)}
                </Anchor>
              </Table.Td>
              <Table.Td>
                <StateBadge state={version.state} />
              </Table.Td>
              <Table.Td className="name">{printable(version.fileName)}</Table.Td>
              <Table.Td className="number">{bytes(version.sizeBytes)}</Table.Td>
              <Table.Td className="number">
                {count(version.state === "CONVERTING" ? version.progress?.doneExamples : version.exampleCount)}
              </Table.Td>
              <Table.Td>{time(version.createTime)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}
