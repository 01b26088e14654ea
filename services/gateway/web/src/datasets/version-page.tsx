import { Anchor, Button, Code, Table, Text } from "@mantine/core";
import type { ReactNode } from "react";
import { Link, useParams } from "react-router";

import { useStatistics, useVersion } from "../api/queries";
import type { Version } from "../api/types";
import { bytes, count, printable, time } from "../ui/format";
import { FailureNote, Loaded } from "../ui/outcome";
import { Card, Facts, Page } from "../ui/page";
import { Scroll } from "../ui/scroll";
import { StateBadge } from "../ui/state-badge";
import { Classes } from "./classes";
import { ConversionCard } from "./conversion-card";
import { Downloads } from "./downloads";
import { Examples } from "./examples";
import { Rejections } from "./rejections";
import { Account, Properties, Warnings } from "./statistics";
import { tallyInWords } from "./statistics-view";
import { UploadCard } from "./upload-card";

export function VersionPage() {
  const { dataset = "", version: number = "" } = useParams();
  const name = `datasets/${dataset}/versions/${number}`;
  const version = useVersion(name);
  return (
    <Page
      title={`${dataset}, version ${number}`}
      actions={
        <>
          <StateBadge state={version.data?.state} />
          {version.data?.state === "READY" && (
            <>
              <Button variant="default" component={Link} to={`/base-datasets?version=${name}`}>
                Publish as a base dataset
              </Button>
              <Button component={Link} to={`/training/new?version=${name}`}>
                Train on it
              </Button>
            </>
          )}
        </>
      }
    >
      <Text size="sm">
        <Anchor component={Link} to={`/datasets/${dataset}`}>
          All versions of {dataset}
        </Anchor>
      </Text>
      <Loaded query={version} what="this version">
        {(data) => <Body version={data} />}
      </Loaded>
    </Page>
  );
}

function Body({ version }: { version: Version }) {
  const ready = version.state === "READY";
  return (
    <>
      {version.state === "FAILED" && version.error && (
        <FailureNote title="This file could not be converted" failure={version.error} />
      )}
      {version.state === "EXPIRED" && (
        <Text>The upload was not finished in time, and what had arrived was cleared away. Upload the file again.</Text>
      )}
      {version.state === "ABORTED" && <Text>This upload was given up.</Text>}
      {version.state === "UPLOADING" && <UploadCard version={version} />}
      {(version.state === "UPLOADED" || version.state === "CONVERTING") && <ConversionCard version={version} />}
      {ready && <Ready version={version} />}
      {!ready && (version.rejectedCount ?? 0) > 0 && (
        <Card title="Left out">
          <Rejections version={version} statistics={undefined} />
        </Card>
      )}
      <Card title="About this version">
        <Facts facts={factsOf(version)} />
      </Card>
    </>
  );
}

function Ready({ version }: { version: Version }) {
  const statistics = useStatistics(version.name ?? "");
  return (
    <>
      <Loaded query={statistics} what="what is in it">
        {(data) => (
          <>
            <Warnings statistics={data} />
            {(data.classes ?? []).length > 0 && (
              <Card title="Classes">
                <Classes statistics={data} />
              </Card>
            )}
          </>
        )}
      </Loaded>
      <div className="columns">
        <Card title="Splits">
          <Splits version={version} />
        </Card>
        {statistics.data && (
          <Card title="From the upload">
            <Account version={version} statistics={statistics.data} />
          </Card>
        )}
      </div>
      <Card title="Examples">
        {version.conversion?.compression === "GZIP" ? (
          <Text size="sm">Examples can&apos;t be read out of compressed shards. Convert it without compression to see them here.</Text>
        ) : (
          <Examples version={version} />
        )}
      </Card>
      {statistics.data && (
        <Card title="Statistics">
          <Properties version={version} statistics={statistics.data} />
        </Card>
      )}
      {((version.rejectedCount ?? 0) > 0 || tallyInWords(statistics.data?.leftOut ?? {}) !== "") && (
        <Card title="Left out">
          <Rejections version={version} statistics={statistics.data} />
        </Card>
      )}
      <Card title="Download">
        <Downloads version={version} />
      </Card>
    </>
  );
}

function Splits({ version }: { version: Version }) {
  return (
    <Scroll label="Splits">
      <Table aria-label="Splits">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Split</Table.Th>
            <Table.Th className="number">Examples</Table.Th>
            <Table.Th className="number">Shards</Table.Th>
            <Table.Th className="number">Size</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {(version.splits ?? []).map((split) => (
            <Table.Tr key={split.name}>
              <Table.Th scope="row">{split.name}</Table.Th>
              <Table.Td className="number">{count(split.exampleCount)}</Table.Td>
              <Table.Td className="number">{count(split.shardCount)}</Table.Td>
              <Table.Td className="number">{bytes(split.sizeBytes)}</Table.Td>
            </Table.Tr>
          ))}
          <Table.Tr>
            <Table.Th scope="row">all</Table.Th>
            <Table.Td className="number">{count(version.exampleCount)}</Table.Td>
            <Table.Td className="number">{count(version.shardCount)}</Table.Td>
            <Table.Td className="number">{bytes(version.convertedBytes)}</Table.Td>
          </Table.Tr>
        </Table.Tbody>
      </Table>
    </Scroll>
  );
}

function factsOf(version: Version): [string, ReactNode][] {
  const facts: [string, ReactNode][] = [
    ["File", <span className="name">{printable(version.fileName)}</span>],
    ["Size", bytes(version.sizeBytes)],
    ["Begun", time(version.createTime)],
    ["Last change", time(version.updateTime)],
  ];
  if (version.state === "READY") {
    facts.push(
      ["TFDS name", <Code>{version.tfdsName}</Code>],
      ["Place", <Code>{version.uri}</Code>],
      ["Manifest SHA-256", <Code>{version.manifestSha256}</Code>],
    );
  }
  return facts;
}
