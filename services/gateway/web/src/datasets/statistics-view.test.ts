import { describe, expect, it } from "vitest";

import { accountOf, classesOf, countsOf, numbersOf, reasonInWords, tallyInWords } from "./statistics-view";

describe("numbersOf", () => {
  const width = { name: "width", count: "4", min: 10, max: 40, mean: 25, quantiles: [9.9, 15, 24, 30, 41], histogram: ["1", "3"] };

  it("names the properties of pictures, with their units", () => {
    const [view] = numbersOf({ numbers: [width] }, "image-folder");
    expect(view).toMatchObject({ title: "Width", count: 4, median: 24, bins: [1, 3] });
    expect(view?.text(24)).toBe("24 px");
  });
  it("keeps quantiles, which are not exact, between the least and the greatest", () => {
    expect(numbersOf({ numbers: [width] }, "image-folder")[0]).toMatchObject({ low: 10, high: 40 });
  });
  it("takes quantiles of what is counted for whole numbers", () => {
    expect(numbersOf({ numbers: [{ ...width, name: "objects", quantiles: [10, 15, 24.4, 30, 40] }] }, "coco")[0]).toMatchObject({ median: 24, mean: 25 });
  });
  it("shows the properties of pictures before columns", () => {
    const titles = numbersOf({ numbers: ["age", "aspect", "width"].map((name) => ({ name })) }, "image-table").map((one) => one.title);
    expect(titles).toEqual(["Width", "Width by height", "age"]);
  });
  it("takes no column of a table for a property of pictures", () => {
    const [view] = numbersOf({ numbers: [width] }, "csv");
    expect(view?.title).toBe("width");
    expect(view?.text(24)).toBe("24");
  });
  it.each([
    ["file_bytes", 12_400, "12.4 kB"],
    ["duration_seconds", 65, "1 min 5 s"],
    ["box_area", 0.0312, "3.12 %"],
    ["a column", 3.14159, "3.142"],
  ])("writes a value of %s", (name, value, want) => {
    expect(numbersOf({ numbers: [{ name }] }, "parquet")[0]?.text(value)).toBe(want);
  });
});

describe("countsOf", () => {
  it("tells missing values as shares of all examples", () => {
    const statistics = {
      splits: [{ exampleCount: "70" }, { exampleCount: "30" }],
      counts: [
        { name: "colour", values: [{ value: "red", count: "60" }] },
        { name: "missing", values: [{ value: "colour", count: "21" }] },
      ],
    };
    expect(countsOf(statistics, "csv")).toEqual([
      { title: "colour", rows: [{ name: "red", value: 60 }] },
      { title: "Missing values by column", rows: [{ name: "colour", value: 21, text: "21 %" }] },
    ]);
  });
});

describe("classesOf", () => {
  it("has the classes by split", () => {
    expect(classesOf({ classes: [{ name: "cat", exampleCount: "5", objectCount: "0", bySplit: ["3", "2"] }] })).toEqual([
      { name: "cat", examples: 5, objects: 0, bySplit: [3, 2] },
    ]);
  });
  it("knows no splits where only objects have a class", () => {
    expect(classesOf({ classes: [{ name: "cat", exampleCount: "0", objectCount: "7", bySplit: ["0", "0"] }] })).toEqual([
      { name: "cat", examples: 0, objects: 7, bySplit: [] },
    ]);
  });
});

it("accounts for what there is", () => {
  expect(
    accountOf({
      found: { files: "1", rows: "902", annotations: "0" },
      kept: { files: "1", rows: "900", annotations: "0" },
      leftOut: { files: "0", rows: "2", annotations: "0" },
    }),
  ).toEqual([
    { what: "Files", found: 1, kept: 1, leftOut: 0 },
    { what: "Rows", found: 902, kept: 900, leftOut: 2 },
  ]);
});

it.each([
  [{ files: "1", rows: "0", annotations: "0" }, "1 file"],
  [{ files: "0", rows: "1200", annotations: "1" }, "1,200 rows and 1 annotation"],
  [{ files: "2", rows: "3", annotations: "4" }, "2 files, 3 rows and 4 annotations"],
  [{}, ""],
])("puts %j in words", (counts, want) => {
  expect(tallyInWords(counts)).toBe(want);
});

it("puts reasons in words", () => {
  expect(reasonInWords("TRUNCATED_IMAGE")).toBe("truncated image");
});
