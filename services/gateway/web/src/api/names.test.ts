import { describe, expect, it } from "vitest";

import { datasetIdFor, datasetIdPattern, datasetOf, idOf, newRequestId } from "./names";

describe("datasetIdFor", () => {
  it.each([
    ["digits.zip", "digits"],
    ["My Digits (2).tar.gz", "my-digits-2"],
    ["2024_cats.tgz", "cats"],
    ["a".repeat(62) + "-b.zip", "a".repeat(62)],
    ["漢字.zip", ""],
    ["no-ending", "no-ending"],
  ])("%s gives %s", (fileName, want) => {
    const id = datasetIdFor(fileName);
    expect(id).toBe(want);
    expect(id === "" || datasetIdPattern.test(id)).toBe(true);
  });
});

it("takes resource names apart", () => {
  expect(idOf("datasets/digits/versions/12")).toBe("12");
  expect(idOf(undefined)).toBe("");
  expect(datasetOf("datasets/digits/versions/12")).toBe("datasets/digits");
});

it("makes UUIDs", () => {
  expect(newRequestId()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
