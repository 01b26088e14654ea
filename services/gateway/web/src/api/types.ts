import type { components } from "trainyard-api";

type Schemas = components["schemas"];

export type Dataset = Schemas["trainyard.ingest.v1.Dataset"];
export type Version = Schemas["trainyard.ingest.v1.Version"];
export type VersionState = Schemas["trainyard.ingest.v1.Version.State"];
export type ConversionOptions = Schemas["trainyard.ingest.v1.ConversionOptions"];
export type ConversionProgress = Schemas["trainyard.ingest.v1.ConversionProgress"];
export type SignedPart = Schemas["trainyard.ingest.v1.SignedPart"];
export type Format = Schemas["trainyard.converter.v1.Format"];
export type Statistics = Schemas["trainyard.converter.v1.Statistics"];
export type Tally = Schemas["trainyard.converter.v1.Statistics.Tally"];
export type ReasonCount = Schemas["trainyard.converter.v1.Statistics.ReasonCount"];
export type ClassStatistics = Schemas["trainyard.converter.v1.Statistics.ClassStatistics"];
export type NumberStatistics = Schemas["trainyard.converter.v1.Statistics.NumberStatistics"];
export type CountStatistics = Schemas["trainyard.converter.v1.Statistics.CountStatistics"];
export type Rejection = Schemas["trainyard.converter.v1.Rejection"];
export type Example = Omit<Schemas["trainyard.converter.v1.Example"], "features"> & { features?: Feature[] };
export type Image = Schemas["trainyard.converter.v1.Feature.Image"];
/** What the gateway writes of a feature: one of the values, or none. JSON has no NaN and no infinity: they come as texts. */
export interface Feature {
  name?: string;
  valueCount?: string;
  ints?: Schemas["trainyard.converter.v1.Feature.Ints"];
  floats?: { values?: (number | string)[] };
  texts?: Schemas["trainyard.converter.v1.Feature.Texts"];
  blobs?: Schemas["trainyard.converter.v1.Feature.Blobs"];
  labels?: Schemas["trainyard.converter.v1.Feature.Labels"];
  image?: Image;
  boxes?: { boxes?: Box[] };
  audio?: Schemas["trainyard.converter.v1.Feature.Audio"];
}
export interface Box {
  xmin?: number | string;
  ymin?: number | string;
  xmax?: number | string;
  ymax?: number | string;
  class?: string;
}
export type Recipe = Schemas["trainyard.training.v1.Recipe"];
export type Parameter = Schemas["trainyard.training.v1.Parameter"];
export type BaseDataset = Schemas["trainyard.training.v1.BaseDataset"];
export type TrainingJob = Schemas["trainyard.training.v1.TrainingJob"];
export type JobState = Schemas["trainyard.training.v1.TrainingJob.State"];
export type Phase = Schemas["trainyard.training.v1.Phase"];
export type MetricPoint = Schemas["trainyard.training.v1.MetricPoint"];
export type LogLine = Schemas["trainyard.training.v1.LogLine"];
export type InputMode = Schemas["trainyard.training.v1.InputMode"];
export type Resources = Schemas["trainyard.training.v1.Resources"];
export type CheckResult = Schemas["trainyard.training.v1.CheckResult"];
export type Preflight = Schemas["trainyard.training.v1.PreflightTrainingJobResponse"];
export type Estimate = Schemas["trainyard.training.v1.Estimate"];
export type Estimates = Schemas["trainyard.training.v1.EstimateTrainingJobResponse"];
export type Ledger = Schemas["trainyard.training.v1.Ledger"];
export type Attempt = Schemas["trainyard.training.v1.Ledger.Attempt"];
export type Usage = Schemas["trainyard.training.v1.GetTrainingUsageResponse"];
export type Sweep = Schemas["trainyard.training.v1.Sweep"];
export type SweepState = Schemas["trainyard.training.v1.Sweep.State"];
export type SweepRange = Schemas["trainyard.training.v1.SweepRange"];
export type Trial = Schemas["trainyard.training.v1.Trial"];
export type BaseDatasetLocation = Schemas["trainyard.training.v1.BaseDatasetLocation"];
export type Storage = Schemas["trainyard.training.v1.BaseDataset.Storage"];
export type Model = Schemas["trainyard.training.v1.Model"];
export type Failure = Schemas["trainyard.errors.v1.Failure"];
export type Event = Schemas["trainyard.notification.v1.Event"];
export type Status = Schemas["google.rpc.Status"];
