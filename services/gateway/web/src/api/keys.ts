/** Keys of the query cache. Resources are keyed by their full names. */
export const keys = {
  datasets: () => ["datasets"] as const,
  dataset: (name: string) => ["dataset", name] as const,
  versions: (dataset: string) => ["versions", dataset] as const,
  version: (name: string) => ["version", name] as const,
  rejections: (version: string) => ["rejections", version] as const,
  examples: (version: string, split: string, className: string) => ["examples", version, split, className] as const,
  recipes: () => ["recipes"] as const,
  baseDatasets: () => ["baseDatasets"] as const,
  jobs: () => ["trainingJobs"] as const,
  job: (name: string) => ["trainingJob", name] as const,
  jobMetrics: (name: string) => ["trainingJobMetrics", name] as const,
  jobLogs: (name: string) => ["trainingJobLogs", name] as const,
  models: () => ["models"] as const,
  model: (name: string) => ["model", name] as const,
};
