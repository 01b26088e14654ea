import { Anchor, Code, Text } from "@mantine/core";
import type { ReactNode } from "react";
import { Link } from "react-router";

import { placeOf } from "../basedatasets/place";
import { idOf } from "../api/names";
import type { InputMode, TrainingJob } from "../api/types";
import { duration, printable, time } from "../ui/format";
import { Facts } from "../ui/page";
import { modeNames, storageNames } from "../ui/words";
import { Parameters } from "./values";

/** What a job was made of and where it runs. */
export function AboutJob({ job }: { job: TrainingJob }) {
  return <Facts facts={factsOf(job).filter(([, value]) => value !== undefined && value !== "")} />;
}

function factsOf(job: TrainingJob): [string, ReactNode][] {
  const { resources = {}, additionalDatasetVersions: additional = [], resumeFrom = "", tags = {} } = job;
  return [
    ["Recipe", idOf(job.recipe)],
    ["Dataset version", <To path={job.datasetVersion ?? ""} />],
    ["Additional versions", additional.length > 0 && additional.map((name) => <div key={name}><To path={name} /></div>)],
    ["Base datasets", <Bases job={job} />],
    ["Input modes", modesText(job.inputModes ?? {})],
    ["Parameters", <Parameters values={job.parameters ?? {}} />],
    ["Resumed from", resumeFrom !== "" && <To path={`training/${idOf(resumeFrom)}`} text={idOf(resumeFrom)} />],
    ["Instance", `${resources.instanceCount ?? 1} × ${resources.instanceType ?? ""}${resources.spot ? ", spot" : ""}`],
    ["Time limit", (resources.maxRuntimeSeconds ?? 0) > 0 && duration(resources.maxRuntimeSeconds ?? 0)],
    ["Region", job.region],
    ["Image", <Code>{printable(job.image)}</Code>],
    ["SageMaker's name", <Code>{job.sagemakerJobName}</Code>],
    ["Tags", Object.entries(tags).map(([name, value]) => `${printable(name)}=${printable(value)}`).join(", ")],
    ["Overridden checks", (job.overrideChecks ?? []).join(", ")],
    ["Made", time(job.createTime)],
    ["Begun", time(job.startTime)],
    ["Ended", time(job.endTime)],
  ].map(([name, value]) => [name as string, value === false ? undefined : value]);
}

function To({ path, text }: { path: string; text?: string }) {
  return (
    <Anchor component={Link} to={`/${path}`} inherit>
      {text ?? path}
    </Anchor>
  );
}

/** Where each base dataset is read, and the manifest it is pinned to. */
function Bases({ job }: { job: TrainingJob }) {
  const resolved = job.resolvedBaseDatasets ?? [];
  if (resolved.length === 0) {
    return (job.baseDatasets ?? []).map(idOf).join(", ") || "none";
  }
  return (
    <ul className="places" aria-label="Base datasets">
      {resolved.map(({ baseDataset, location = {}, manifestSha256 = "" }) => (
        <li key={baseDataset}>
          {idOf(baseDataset)} on {storageNames[location.storage ?? "STORAGE_UNSPECIFIED"]} in {location.region}
          <div>
            <Code>{printable(placeOf(location))}</Code>
          </div>
          <Text size="xs" c="dimmed" className="name">
            {manifestSha256 === "" ? "no manifest" : `manifest SHA-256 ${manifestSha256}`}
          </Text>
        </li>
      ))}
    </ul>
  );
}

/** `train, validation: FastFile`, channels of one mode together. */
function modesText(modes: Record<string, InputMode>): string {
  const used = [...new Set(Object.values(modes))];
  const channelsOf = (mode: InputMode) => Object.keys(modes).filter((channel) => modes[channel] === mode).sort().join(", ");
  return used.map((mode) => `${channelsOf(mode)}: ${modeNames[mode]}`).join("; ");
}
