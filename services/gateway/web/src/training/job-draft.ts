import type { BaseDataset, InputMode, Recipe, TrainingJob, Version } from "../api/types";
import { defaultsOf, parametersToSend, type Value } from "./parameters";

/** What a number field holds; one that is being typed in holds text. Empty means the default. */
export type Entered = string | number;

/** What the form of a training job holds. */
export interface Draft {
  /** `recipes/{recipe}`. */
  recipe: string;
  values: Record<string, Value>;
  /** `datasets/{dataset}`. */
  dataset: string;
  /** `datasets/{dataset}/versions/{number}`; empty means the newest that is READY. */
  version: string;
  additional: string[];
  bases: string[];
  /** Of the user's data; empty leaves the choice to the server. */
  inputMode: InputMode | "";
  machine: Machine;
  tags: string;
  overrides: string[];
}

/** The machine and what it may cost. */
export interface Machine {
  instanceType: string;
  instanceCount: Entered;
  sharded: boolean;
  maxMinutes: Entered;
  spot: boolean;
  maxWaitMinutes: Entered;
  keepAliveMinutes: Entered;
  maxRetries: Entered;
  networkIsolation: boolean;
}

const noMachine: Machine = {
  instanceType: "",
  instanceCount: "",
  sharded: false,
  maxMinutes: "",
  spot: false,
  maxWaitMinutes: "",
  keepAliveMinutes: "",
  maxRetries: "",
  networkIsolation: false,
};

export function newDraft(recipe: Recipe | undefined, dataset: string, version: string): Draft {
  return {
    recipe: recipe?.name ?? "",
    values: defaultsOf(recipe),
    dataset,
    version,
    additional: [],
    bases: [],
    inputMode: "",
    machine: noMachine,
    tags: "",
    overrides: [],
  };
}

/** The draft with another recipe: its own defaults, and no choice that it can't have. */
export function withRecipe(draft: Draft, recipe: Recipe | undefined): Draft {
  const keepsMode = draft.inputMode === "" || (recipe?.inputModes ?? []).includes(draft.inputMode);
  return {
    ...draft,
    recipe: recipe?.name ?? "",
    values: defaultsOf(recipe),
    inputMode: keepsMode ? draft.inputMode : "",
    machine: recipe?.distributed === true ? draft.machine : { ...draft.machine, instanceCount: "", sharded: false },
  };
}

/** The job that a draft asks for. What is empty is left out, so that defaults hold; so are parameters that a sweep sets. */
export function jobToSend(draft: Draft, recipe: Recipe, version: string, swept: readonly string[] = []): TrainingJob {
  const parameters = parametersToSend(recipe, draft.values);
  const job: TrainingJob = {
    recipe: draft.recipe,
    datasetVersion: version,
    parameters: Object.fromEntries(Object.entries(parameters).filter(([name]) => !swept.includes(name))),
    resources: resourcesOf(draft.machine),
  };
  if (draft.additional.length > 0) {
    job.additionalDatasetVersions = draft.additional;
  }
  if (draft.bases.length > 0) {
    job.baseDatasets = draft.bases;
  }
  if (draft.inputMode !== "") {
    job.inputModes = inputModesOf(draft.inputMode, draft.additional.length);
  }
  const tags = tagsOf(draft.tags);
  if (tags !== undefined && Object.keys(tags).length > 0) {
    job.tags = tags;
  }
  if (draft.overrides.length > 0) {
    job.overrideChecks = draft.overrides;
  }
  return job;
}

/** One mode for all channels of the user's data: the dataset's splits, and each additional version from `version-2` on. */
function inputModesOf(mode: InputMode, additional: number): Record<string, InputMode> {
  const versions = Array.from({ length: additional }, (_, index) => `version-${index + 2}`);
  return Object.fromEntries(["train", "validation", ...versions].map((channel) => [channel, mode]));
}

function resourcesOf(machine: Machine): NonNullable<TrainingJob["resources"]> {
  const numbers = {
    instanceCount: Math.round(Number(machine.instanceCount)),
    maxRuntimeSeconds: seconds(machine.maxMinutes),
    maxWaitSeconds: machine.spot ? seconds(machine.maxWaitMinutes) : 0,
    keepAliveSeconds: seconds(machine.keepAliveMinutes),
    maxRetries: Math.round(Number(machine.maxRetries)),
  };
  return {
    ...Object.fromEntries(Object.entries(numbers).filter(([, value]) => value > 0)),
    ...(machine.instanceType.trim() !== "" && { instanceType: machine.instanceType.trim() }),
    ...(machine.sharded && { distribution: "SHARDED" as const }),
    ...(machine.spot && { spot: true }),
    ...(machine.networkIsolation && { networkIsolation: true }),
  };
}

function seconds(minutes: Entered): number {
  return Math.round(Number(minutes) * 60);
}

/** Tags of `team=vision, project=digits`; undefined when that can't be read. */
export function tagsOf(text: string): Record<string, string> | undefined {
  const tags: Record<string, string> = {};
  for (const part of text.split(",").map((one) => one.trim()).filter((one) => one !== "")) {
    const at = part.indexOf("=");
    if (at <= 0) {
      return undefined;
    }
    tags[part.slice(0, at).trim()] = part.slice(at + 1).trim();
  }
  return tags;
}

/** The classes of a version that a base dataset has as well, joined by name; undefined when the base's labels aren't known. */
export function sharedClasses(base: BaseDataset, version: Version | undefined): string[] | undefined {
  const labels = new Set(base.labels);
  if (labels.size === 0 || version === undefined) {
    return undefined;
  }
  return (version.classes ?? []).flatMap(({ name = "" }) => (labels.has(name) ? [name] : []));
}
