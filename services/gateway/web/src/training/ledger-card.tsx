import { Stack, Table, Text } from "@mantine/core";
import type { CSSProperties } from "react";

import type { Attempt, TrainingJob } from "../api/types";
import { duration, money, percent } from "../ui/format";
import { Scroll } from "../ui/scroll";
import { modeNames, storageNames } from "../ui/words";
import { account, attemptSeconds, phases } from "./ledger";

/** Where a job's time and money went, beside what was expected of it. */
export function LedgerCard({ job }: { job: TrainingJob }) {
  const ledger = job.ledger ?? {};
  const { currency = "", hourlyPrice = 0, attempts = [] } = ledger;
  const estimate = job.estimate;
  const priced = currency !== "" && hourlyPrice > 0;
  return (
    <Stack gap="sm">
      {attempts.length > 1 && <Attempts list={attempts} />}
      <Scroll label="Time and money">
        <Table aria-label="Estimate and actual" verticalSpacing={4}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th />
              <Table.Th className="number">Estimate</Table.Th>
              <Table.Th className="number">Actual</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {account(ledger, estimate).map((line) => (
              <Table.Tr key={line.name}>
                <Table.Th scope="row" style={{ whiteSpace: "nowrap" }}>
                  {line.shade !== "" && <span className="swatch" style={{ "--shade": line.shade } as CSSProperties} />}
                  {line.name}
                </Table.Th>
                <Table.Td className="number">{line.expected !== undefined && duration(line.expected)}</Table.Td>
                <Table.Td className="number">{duration(line.actual)}</Table.Td>
              </Table.Tr>
            ))}
            <Table.Tr>
              <Table.Th scope="row">Money</Table.Th>
              <Table.Td className="number">
                {estimate && (estimate.currency ?? "") !== "" && money(estimate.computeCost, estimate.currency)}
              </Table.Td>
              <Table.Td className="number">
                <b>{priced ? money(ledger.cost, currency) : "no price known"}</b>
              </Table.Td>
            </Table.Tr>
          </Table.Tbody>
        </Table>
      </Scroll>
      <Text size="sm">{factsOf(job).join(" · ")}</Text>
    </Stack>
  );
}

/** What stands below the account. */
function factsOf({ ledger = {}, estimate, resources = {} }: TrainingJob): string[] {
  const { currency, hourlyPrice = 0, spotSaving = 0, warmPoolCost = 0 } = ledger;
  const warm = Number(ledger.warmPoolSeconds ?? 0);
  const facts = [`${percent(ledger.downloadShare)} of the billed seconds went into downloading`];
  if (resources.spot) {
    facts.push(`spot instances saved ${money(spotSaving, currency)}`);
  }
  if (warm > 0) {
    facts.push(`the warm pool was billed ${duration(warm)}, ${money(warmPoolCost, currency)}`);
  }
  if (hourlyPrice > 0) {
    facts.push(`${resources.instanceCount ?? 1} × ${resources.instanceType ?? ""} at ${money(hourlyPrice, currency)} an hour`);
  }
  if (estimate) {
    const storage = storageNames[estimate.baseStorage ?? "STORAGE_UNSPECIFIED"];
    const mode = modeNames[estimate.inputMode ?? "INPUT_MODE_UNSPECIFIED"];
    facts.push(`estimated for ${mode}${storage === "" ? "" : `, base datasets on ${storage}`}`);
  }
  facts.push(ledger.billedBySagemaker ? "billed seconds as SageMaker says" : "billed seconds reckoned from the transitions");
  return facts;
}

/** A bar for each attempt, on one scale. A single one is the bar of the job's progress. */
function Attempts({ list }: { list: Attempt[] }) {
  const longest = Math.max(...list.map(attemptSeconds), 1);
  return (
    <ol className="attempts" aria-label="Attempts">
      {list.map((attempt) => (
        <li key={attempt.number}>
          <Text size="sm">
            Attempt {attempt.number}: {phases.flatMap(({ key, name }) => phaseText(name, attempt[key])).join(", ")}
            {attempt.interrupted && <b> · interrupted</b>}
          </Text>
          <div className="attempt" style={{ "--share": attemptSeconds(attempt) / longest } as CSSProperties} aria-hidden>
            <div className="phases">
              {phases.map(({ key, name, shade }) => (
                <span
                  key={key}
                  title={name}
                  style={{ "--share": (attempt[key] ?? 0) / (attemptSeconds(attempt) || 1), "--shade": shade } as CSSProperties}
                />
              ))}
            </div>
          </div>
        </li>
      ))}
    </ol>
  );
}

function phaseText(name: string, seconds = 0): string[] {
  return seconds > 0 ? [`${name.toLowerCase()} ${duration(seconds)}`] : [];
}
