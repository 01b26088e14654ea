import { describe, expect, it } from "vitest";

import { conversionOf, defaults, hasColumns, problemsWith } from "./conversion-options";

describe("problemsWith", () => {
  it("finds nothing wrong with the defaults", () => {
    expect(problemsWith(defaults)).toEqual({});
  });
  it.each([
    ["shares that are too much", { train: 90 }, { shares: "The three shares must sum to 100 %; they sum to 110 %." }],
    ["a share that is missing", { test: "" }, { shares: "Each share is a number from 0 to 100." }],
    ["a share below 0", { train: 110, validation: -20 }, { shares: "Each share is a number from 0 to 100." }],
    ["nothing to train on", { train: 0, validation: 50, test: 50 }, { shares: "Some examples are needed to train on." }],
    ["a broken seed", { seed: 1.5 }, { seed: "Enter a whole number" }],
    ["a seed beyond what a number holds", { seed: 2 ** 60 }, { seed: "Enter a whole number" }],
    ["fewer bad files than none", { maxBad: -1 }, { maxBad: "Enter a number from 0 to 100" }],
    ["more bad files than there are", { maxBad: "101" }, { maxBad: "Enter a number from 0 to 100" }],
    ["a label column that is too long", { labelColumn: "ü".repeat(129) }, { labelColumn: "Enter at most 256 bytes" }],
  ])("finds %s", (_, change, want) => {
    expect(problemsWith({ ...defaults, ...change })).toEqual(want);
  });
  it("takes shares that only binary fractions keep from 100", () => {
    expect(problemsWith({ ...defaults, train: 33.3, validation: 33.3, test: 33.4 })).toEqual({});
  });
  it("asks nothing of a field that isn't shown", () => {
    expect(problemsWith({ ...defaults, format: "coco", labelColumn: "ü".repeat(129) })).toEqual({});
  });
});

describe("conversionOf", () => {
  it("says the defaults", () => {
    expect(conversionOf(defaults)).toEqual({
      format: "",
      seed: "0",
      validation: "STRUCTURAL",
      maxBadFraction: 0.01,
      labelColumn: "",
      stratify: false,
      compression: "NONE",
      package: "PACKAGE_UNSPECIFIED",
    });
  });
  it("says what was chosen", () => {
    const chosen = { ...defaults, train: 70, validation: "20", format: "csv", labelColumn: " kind ", seed: "7", stratify: true, full: true, maxBad: 5, gzip: true, tar: true };
    expect(conversionOf(chosen)).toMatchObject({
      format: "csv",
      splitFractions: { train: 0.7, validation: 0.2, test: 0.1 },
      labelColumn: "kind",
      seed: "7",
      stratify: true,
      validation: "FULL",
      maxBadFraction: 0.05,
      compression: "GZIP",
      package: "TAR",
    });
  });
  it("names no column of a format that has none", () => {
    expect(conversionOf({ ...defaults, format: "coco", labelColumn: "kind" }).labelColumn).toBe("");
  });
});

it.each([
  ["", true],
  ["parquet", true],
  ["image-folder", false],
])("of %j, columns are %s", (format, want) => {
  expect(hasColumns(format)).toBe(want);
});
