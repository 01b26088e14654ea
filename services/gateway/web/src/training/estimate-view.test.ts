import { expect, it } from "vitest";

import { impossibleWays } from "./estimate-view";

it("tells ways of one mode and reason together, and nothing of those that are possible", () => {
  const why = "the program doesn't read it";
  expect(
    impossibleWays([
      { inputMode: "FILE", baseStorage: "S3" },
      { inputMode: "PIPE", baseStorage: "S3", impossible: why },
      { inputMode: "PIPE", baseStorage: "EFS", impossible: why },
      { inputMode: "FILE", baseStorage: "FSX_LUSTRE", impossible: "it is off there" },
    ]),
  ).toEqual([`Pipe with the base on S3, EFS: ${why}.`, "File with the base on FSx for Lustre: it is off there."]);
});

it("says no more than the mode without base datasets", () => {
  expect(impossibleWays([{ inputMode: "PIPE", impossible: "no" }])).toEqual(["Pipe: no."]);
});
