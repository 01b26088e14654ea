import { Anchor, Code, Table, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";

import { answer, api } from "../api/client";
import { keys } from "../api/keys";
import { datasetOf, idOf } from "../api/names";
import { useBaseDatasets } from "../api/queries";
import type { BaseDataset, BaseDatasetLocation } from "../api/types";
import { ConfirmButton } from "../ui/confirm-button";
import { bytes, count, percent, printable } from "../ui/format";
import { ErrorNote, Loaded } from "../ui/outcome";
import { Card, Page } from "../ui/page";
import { storageNames } from "../ui/words";
import { placeOf } from "./place";
import { PublishForm } from "./publish-form";

export function BaseDatasetsPage() {
  const [search] = useSearchParams();
  const list = useBaseDatasets();
  const client = useQueryClient();
  const remove = useMutation({
    mutationFn: (name: string) => answer(api.DELETE("/v1/baseDatasets/{name}", { params: { path: { name: idOf(name) } } })),
    onSettled: () => client.invalidateQueries({ queryKey: keys.baseDatasets() }),
  });
  return (
    <Page title="Base datasets">
      <Card title="Base datasets">
        <Text size="sm" c="dimmed" mb="sm">
          Trained on together with your own data. Jobs read them and never write them.
        </Text>
        {remove.error && <ErrorNote title="The base dataset was not deleted" error={remove.error} />}
        <Loaded query={list} what="the base datasets">
          {(all) =>
            all.length === 0 ? (
              <Text c="dimmed">None yet. The operator registers them, or you publish one below.</Text>
            ) : (
              <div className="scroll">
                <Table aria-label="Base datasets" verticalSpacing="sm">
                  <Table.Thead>
                    <Table.Tr>
                      <Table.Th>Base dataset</Table.Th>
                      <Table.Th>Locations</Table.Th>
                      <Table.Th className="number">Labels</Table.Th>
                      <Table.Th className="number">Examples</Table.Th>
                      <Table.Th className="number">Size</Table.Th>
                      <Table.Th className="number">Mix</Table.Th>
                      <Table.Th>Source</Table.Th>
                    </Table.Tr>
                  </Table.Thead>
                  <Table.Tbody>
                    {all.map((base) => (
                      <Row
                        key={base.name}
                        base={base}
                        onDelete={() => remove.mutate(base.name ?? "")}
                        deleting={remove.isPending && remove.variables === base.name}
                      />
                    ))}
                  </Table.Tbody>
                </Table>
              </div>
            )
          }
        </Loaded>
      </Card>
      <Card title="Publish a dataset version">
        <PublishForm version={search.get("version") ?? ""} />
      </Card>
    </Page>
  );
}

function Row({ base, onDelete, deleting }: { base: BaseDataset; onDelete: () => void; deleting: boolean }) {
  const { datasetVersion = "", locations = [], displayName = "" } = base;
  const id = idOf(base.name);
  return (
    <Table.Tr>
      <Table.Th scope="row" className="name">
        {displayName === "" ? id : printable(displayName)}
        <Text size="xs" c="dimmed">
          <Code>{id}</Code> {printable(base.description)}
        </Text>
      </Table.Th>
      <Table.Td>
        <ul className="places">
          {locations.map((location, index) => (
            <Place key={index} location={location} />
          ))}
        </ul>
      </Table.Td>
      <Table.Td className="number">{known(base.labels?.length, count)}</Table.Td>
      <Table.Td className="number">{known(base.exampleCount, count)}</Table.Td>
      <Table.Td className="number">
        {known(Number(base.sizeBytes ?? 0), bytes)}
        {(base.fileCount ?? 0) > 0 && (
          <Text size="xs" c="dimmed">
            {count(base.fileCount)} files
          </Text>
        )}
      </Table.Td>
      <Table.Td className="number">{(base.mixRatio ?? 0) > 0 ? percent(base.mixRatio) : "the recipe's"}</Table.Td>
      <Table.Td>
        {datasetVersion === "" ? (
          <Text size="sm" c="dimmed">
            the operator
          </Text>
        ) : (
          <>
            <Anchor inherit component={Link} to={`/${datasetVersion}`}>
              {idOf(datasetOf(datasetVersion))}, version {idOf(datasetVersion)}
            </Anchor>
            <div>
              <ConfirmButton label="Delete" name={id} onConfirm={onDelete} loading={deleting} />
            </div>
          </>
        )}
      </Table.Td>
    </Table.Tr>
  );
}

function Place({ location }: { location: BaseDatasetLocation }) {
  return (
    <li>
      {storageNames[location.storage ?? "STORAGE_UNSPECIFIED"]} in {location.region}
      <div>
        <Code>{printable(placeOf(location))}</Code>
      </div>
    </li>
  );
}

/** 0 means that nobody said. */
function known(value: number | undefined, text: (value: number) => string): string {
  return value === undefined || value === 0 ? "not told" : text(value);
}
