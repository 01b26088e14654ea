import { Button, Code, Loader, Table, Text } from "@mantine/core";

import { useRejections } from "../api/queries";
import type { Rejection, Statistics, Version } from "../api/types";
import { count, printable } from "../ui/format";
import { ErrorNote } from "../ui/outcome";
import { Scroll } from "../ui/scroll";
import { tallyInWords } from "./statistics-view";

/** What was left out of a version, piece by piece, each with its reason. */
export function Rejections({ version, statistics }: { version: Version; statistics: Statistics | undefined }) {
  const ended = version.state === "READY" || version.state === "FAILED";
  const query = useRejections(version.name ?? "", ended);
  const rejections = query.data?.pages.flatMap((page) => page.rejections ?? []) ?? [];
  const withPlaces = rejections.some((rejection) => placeOf(rejection) !== "");
  return (
    <>
      <Text size="sm" mb="xs">
        Left out: {statistics ? tallyInWords(statistics.leftOut ?? {}) : count(version.rejectedCount)}
        {version.state === "FAILED" && ", until the conversion was given up"}.
      </Text>
      {query.error && ended && (
        <ErrorNote title="Can't show the list" error={query.error} onRetry={() => void query.refetch()} />
      )}
      {query.isLoading && <Loader role="status" aria-label="Loading the list" />}
      {rejections.length > 0 && (
        <Scroll label="Left out">
          <Table aria-label="Left out">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>File</Table.Th>
                {withPlaces && <Table.Th>Place</Table.Th>}
                <Table.Th>Why</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {rejections.map((rejection, index) => (
                <Table.Tr key={index}>
                  <Table.Td className="name">{printable(rejection.path)}</Table.Td>
                  {withPlaces && <Table.Td style={{ whiteSpace: "nowrap" }}>{placeOf(rejection)}</Table.Td>}
                  <Table.Td className="name">
                    {printable(rejection.message)} <Code>{rejection.reason}</Code>
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Scroll>
      )}
      {query.hasNextPage && (
        <Button
          variant="default"
          mt="sm"
          onClick={() => void query.fetchNextPage()}
          loading={query.isFetchingNextPage}
        >
          Show more
        </Button>
      )}
    </>
  );
}

function placeOf({ kind = "", where = "0" }: Rejection): string {
  // The row of a picture is named by the picture.
  return kind === "row" || kind === "annotation" ? (where === "0" ? kind : `${kind} ${where}`) : "";
}
