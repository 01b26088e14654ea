import { expect, it } from "vitest";

import { placeOf } from "./place";

it.each([
  [{ storage: "S3", uri: "s3://bucket/prefix/" }, "s3://bucket/prefix/"],
  [{ storage: "EFS", fileSystemId: "fs-1", path: "/datasets/digits" }, "fs-1/datasets/digits"],
  [{ storage: "FSX_LUSTRE", fileSystemId: "fs-2", mountName: "fsx", path: "/digits" }, "fs-2/fsx/digits"],
] as const)("%j lies at %s", (location, want) => {
  expect(placeOf(location)).toBe(want);
});
