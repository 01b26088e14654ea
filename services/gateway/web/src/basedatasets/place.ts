import type { BaseDatasetLocation } from "../api/types";

/** Where a base dataset lies: `s3://bucket/prefix/`, `fs-…/path`, or with Lustre's mount name `fs-…/mount/path`. */
export function placeOf({ storage, uri = "", fileSystemId = "", mountName = "", path = "" }: BaseDatasetLocation): string {
  switch (storage) {
    case "S3":
      return uri;
    case "FSX_LUSTRE":
      return `${fileSystemId}/${mountName}${path}`;
    default:
      return `${fileSystemId}${path}`;
  }
}
