import { describe, expect, it } from "vitest";

import type { Feature } from "../api/types";
import { columnsOf, pictureOf, ratioOf, textOf, upright } from "./example-view";

describe("textOf", () => {
  it.each<[string, Feature, string]>([
    ["numbers", { valueCount: "2", ints: { values: ["9007199254740993", "-1"] } }, "9007199254740993, -1"],
    ["some of many", { valueCount: "6000", ints: { values: ["1", "2"] } }, "1, 2 … (5,998 more)"],
    ["shares", { valueCount: "2", floats: { values: [0.123456, "NaN"] } }, "0.1235, NaN"],
    ["a text", { valueCount: "1", texts: { values: ["größer"], sizes: ["8"] } }, "größer"],
    ["a text cut", { valueCount: "1", texts: { values: ["größer"], sizes: ["2000"] } }, "größer…"],
    ["bytes", { valueCount: "1", blobs: { sizes: ["2000"] } }, "2.0 kB"],
    ["classes", { valueCount: "2", labels: { values: ["3", "-1"], names: ["cat", ""] } }, "cat, -1"],
    ["boxes", { valueCount: "2", boxes: { boxes: [{ class: "ear" }, {}] } }, "ear, box"],
    ["sound", { valueCount: "1", audio: { sampleRate: 44100, channels: 2, seconds: 3.25 } }, "3.3 s, 44.1 kHz, stereo"],
    ["sound at no rate", { valueCount: "1", audio: { sampleRate: 0, channels: 1, seconds: 0 } }, "mono"],
    ["a picture", { valueCount: "1", image: { width: 3, height: 2, encoding: "png", sizeBytes: "70" } }, "3 × 2 PNG, 70 B"],
    ["nothing", { valueCount: "0" }, ""],
  ])("of %s", (_, feature, want) => {
    expect(textOf(feature)).toBe(want);
  });
});

describe("upright", () => {
  const box = { xmin: 0.1, ymin: 0.2, xmax: 0.3, ymax: 0.6 };
  // Where the upper left corner of the picture as it is stored goes: EXIF 3.0, 4.6.5.1.6.
  it.each([
    [1, [0.1, 0.2, 0.2, 0.4]],
    [2, [0.7, 0.2, 0.2, 0.4]],
    [3, [0.7, 0.4, 0.2, 0.4]],
    [4, [0.1, 0.4, 0.2, 0.4]],
    [5, [0.2, 0.1, 0.4, 0.2]],
    [6, [0.4, 0.1, 0.4, 0.2]],
    [7, [0.4, 0.7, 0.4, 0.2]],
    [8, [0.2, 0.7, 0.4, 0.2]],
  ])("orientation %d", (orientation, want) => {
    const { x = 0, y = 0, width = 0, height = 0 } = upright(box, orientation) ?? {};
    expect([x, y, width, height].map((value) => Math.round(value * 100) / 100)).toEqual(want);
  });

  it("keeps within the picture", () => {
    expect(upright({ xmin: -1, ymin: 0, xmax: 0.5, ymax: 7 })).toEqual({ x: 0, y: 0, width: 0.5, height: 1 });
  });

  it.each([
    ["no extent", { xmin: 0.5, ymin: 0.5, xmax: 0.5, ymax: 0.5 }],
    ["NaN", { xmin: "NaN", ymin: 0, xmax: 1, ymax: 1 }],
  ])("is none for %s", (_, nowhere) => {
    expect(upright(nowhere)).toBeUndefined();
  });
});

it("shows a picture with all boxes, in its upright shape", () => {
  const shown = pictureOf({
    features: [
      { name: "image", image: { width: 40, height: 20, orientation: 6 } },
      { name: "objects/bbox", boxes: { boxes: [{ class: "ear" }] } },
    ],
  });
  expect(shown?.boxes).toEqual([{ class: "ear" }]);
  expect(ratioOf(shown?.image ?? {})).toBe(0.5);
  expect(ratioOf({})).toBe(1);
  expect(pictureOf({ features: [] })).toBeUndefined();
});

it("has a column for each feature that any example has", () => {
  const [a, b, c] = [{ name: "a" }, { name: "b" }, { name: "c" }] as const;
  expect(columnsOf([{ features: [a, b] }, {}, { features: [a, c] }])).toEqual(["a", "b", "c"]);
});
