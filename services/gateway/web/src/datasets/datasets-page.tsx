import { Anchor, Button, Group, Table, Text, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";

import { answer, api } from "../api/client";
import { keys } from "../api/keys";
import { datasetIdPattern, idOf } from "../api/names";
import { useDatasets } from "../api/queries";
import { printable, time } from "../ui/format";
import { ErrorNote, Loaded } from "../ui/outcome";
import { Card, Page } from "../ui/page";
import { UploadForm } from "./upload-form";

export function DatasetsPage() {
  const datasets = useDatasets();
  return (
    <Page title="Datasets">
      <Card title="Upload a dataset">
        <UploadForm />
      </Card>
      <Card title="Your datasets">
        <Loaded query={datasets} what="your datasets">
          {(list) =>
            list.length === 0 ? (
              <Text c="dimmed">None yet: upload a file above, and it becomes your first.</Text>
            ) : (
              <div className="scroll">
                <Table aria-label="Your datasets">
                  <Table.Thead>
                    <Table.Tr>
                      <Table.Th>Dataset</Table.Th>
                      <Table.Th>Title</Table.Th>
                      <Table.Th className="number">Newest version</Table.Th>
                      <Table.Th>Made</Table.Th>
                    </Table.Tr>
                  </Table.Thead>
                  <Table.Tbody>
                    {list.map((dataset) => (
                      <Table.Tr key={dataset.name}>
                        <Table.Td>
                          <Anchor inherit component={Link} to={`/${dataset.name ?? ""}`}>
                            {idOf(dataset.name)}
                          </Anchor>
                        </Table.Td>
                        <Table.Td className="name">{printable(dataset.displayName)}</Table.Td>
                        <Table.Td className="number">{dataset.latestVersion ?? 0}</Table.Td>
                        <Table.Td>{time(dataset.createTime)}</Table.Td>
                      </Table.Tr>
                    ))}
                  </Table.Tbody>
                </Table>
              </div>
            )
          }
        </Loaded>
        <NewDataset />
      </Card>
    </Page>
  );
}

/** Makes an empty dataset, to be filled later or from the command line. */
function NewDataset() {
  const [id, setId] = useState("");
  const [displayName, setDisplayName] = useState("");
  const client = useQueryClient();
  const create = useMutation({
    mutationFn: () =>
      answer(api.POST("/v1/datasets", { params: { query: { datasetId: id } }, body: { displayName } })),
    onSuccess: async () => {
      setId("");
      setDisplayName("");
      await client.invalidateQueries({ queryKey: keys.datasets() });
    },
  });
  const wrong = id !== "" && !datasetIdPattern.test(id);
  return (
    <details style={{ marginTop: "1rem" }}>
      <summary>Make an empty dataset</summary>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          create.mutate();
        }}
      >
        <Group align="start" mt="sm">
          <TextInput
            label="Id"
            description="a-z, 0-9 and -"
            required
            value={id}
            error={wrong && "Begin with a letter; use a-z, 0-9 and -"}
            onChange={(event) => setId(event.currentTarget.value)}
          />
          <TextInput
            label="Title"
            description="For people"
            maxLength={200}
            value={displayName}
            onChange={(event) => setDisplayName(event.currentTarget.value)}
          />
          <Button type="submit" variant="default" mt={44} disabled={id === "" || wrong} loading={create.isPending}>
            Create
          </Button>
        </Group>
        {create.error && <ErrorNote title="The dataset was not made" error={create.error} />}
      </form>
    </details>
  );
}
