import type { InputMode, Storage } from "../api/types";

/** SageMaker's own words. */
export const modeNames: Record<InputMode, string> = {
  INPUT_MODE_UNSPECIFIED: "",
  FILE: "File",
  FAST_FILE: "FastFile",
  PIPE: "Pipe",
};

export const storageNames: Record<Storage, string> = {
  STORAGE_UNSPECIFIED: "",
  S3: "S3",
  EFS: "EFS",
  FSX_LUSTRE: "FSx for Lustre",
};
