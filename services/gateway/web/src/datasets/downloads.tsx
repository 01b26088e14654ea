import { Anchor, Button, Code, CopyButton, Group, Loader, Stack, Table, Text } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";

import { listFiles, useFiles } from "../api/queries";
import type { Version } from "../api/types";
import { bytes, count } from "../ui/format";
import { ErrorNote } from "../ui/outcome";

/** Ways to have the converted dataset: as one file, by the command line, file by file. */
export function Downloads({ version }: { version: Version }) {
  const name = version.name ?? "";
  const [open, setOpen] = useState(false);
  const command = `trainyard pull ${name} -o DIR`;
  return (
    <Stack gap="sm">
      {version.conversion?.package === "TAR" && <DownloadPackage name={name} />}
      <Group gap="sm">
        <Code block style={{ flex: "0 1 auto", overflowX: "auto" }} tabIndex={0} aria-label="Command to download it">
          {command}
        </Code>
        <Copy text={command} />
      </Group>
      <Text size="sm" c="dimmed">
        {version.conversion?.compression === "GZIP" ? (
          <>
            fetches the shards, which <Code>tf.data.TFRecordDataset(files, compression_type=&quot;GZIP&quot;)</Code> reads
          </>
        ) : (
          <>
            puts it where <Code>tfds.builder_from_directory</Code> opens it
          </>
        )}
        , every file checked by its SHA-256; run again, it goes on where it stopped.
      </Text>
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>Files ({count(version.shardCount)} shards and what lies beside them)</summary>
        {open && <Files name={name} />}
      </details>
    </Stack>
  );
}

/** Browsers let pages write to the clipboard only where they came by HTTPS or from loopback. */
function Copy({ text }: { text: string }) {
  if (!window.isSecureContext) {
    return null;
  }
  return (
    <CopyButton value={text}>
      {({ copied, copy }) => (
        <Button size="compact-sm" variant="default" onClick={copy}>
          {copied ? "Copied" : "Copy"}
        </Button>
      )}
    </CopyButton>
  );
}

/** Has a URL signed and goes there; the browser saves what comes. */
function DownloadPackage({ name }: { name: string }) {
  const download = useMutation({
    mutationFn: () => listFiles(name, 1),
    onSuccess: ({ package: file }) => {
      if (file?.url === undefined || !isWebAddress(file.url)) {
        throw new Error("The server gave no address of it.");
      }
      window.location.assign(file.url);
    },
  });
  return (
    <>
      <Group>
        <Button variant="default" onClick={() => download.mutate()} loading={download.isPending}>
          Download as one file
        </Button>
      </Group>
      {download.error && <ErrorNote title="The dataset can't be downloaded" error={download.error} />}
    </>
  );
}

function Files({ name }: { name: string }) {
  const query = useFiles(name, true);
  const files = query.data?.pages.flatMap((page) => [...(page.files ?? []), ...(page.shards ?? [])]) ?? [];
  return (
    <>
      {query.error && <ErrorNote title="Can't show the files" error={query.error} onRetry={() => void query.refetch()} />}
      {query.isLoading && <Loader role="status" aria-label="Loading the files" />}
      {files.length > 0 && (
        <div className="scroll">
          <Table aria-label="Files" verticalSpacing={4}>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>File</Table.Th>
                <Table.Th className="number">Size</Table.Th>
                <Table.Th>SHA-256</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {files.map((file) => (
                <Table.Tr key={file.name}>
                  <Table.Td className="name">
                    {isWebAddress(file.url ?? "") ? (
                      <Anchor inherit href={file.url}>
                        {file.name}
                      </Anchor>
                    ) : (
                      file.name
                    )}
                  </Table.Td>
                  <Table.Td className="number">{bytes(file.sizeBytes)}</Table.Td>
                  <Table.Td>
                    <Code>{file.sha256}</Code>
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </div>
      )}
      {query.hasNextPage && (
        <Button size="compact-sm" variant="default" mt="xs" onClick={() => void query.fetchNextPage()} loading={query.isFetchingNextPage}>
          Show more files
        </Button>
      )}
    </>
  );
}

function isWebAddress(url: string): boolean {
  return /^https?:\/\//.test(url);
}
