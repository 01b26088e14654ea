import { describe, expect, it } from "vitest";

import { bytes, duration, metric, money, percent, printable } from "./format";
import { binName, ticks } from "./ticks";

describe("bytes", () => {
  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.0 kB"],
    ["5463422", "5.5 MB"],
    [999_600, "1.0 MB"],
    [134_217_728, "134 MB"],
    [5_497_558_138_880, "5.5 TB"],
    [undefined, "0 B"],
  ])("%s is %s", (count, want) => {
    expect(bytes(count)).toBe(want);
  });
});

describe("duration", () => {
  it.each([
    [0.44, "0.4 s"],
    [59.4, "59 s"],
    [59.6, "1 min 0 s"],
    [65, "1 min 5 s"],
    [7380, "2 h 3 min"],
  ])("%d is %s", (seconds, want) => {
    expect(duration(seconds)).toBe(want);
  });
});

describe("metric", () => {
  it.each([
    [0.97534, "0.9753"],
    [0.9, "0.9"],
    [1234.56, "1235"],
    [NaN, "NaN"],
  ])("%d is %s", (value, want) => {
    expect(metric(value)).toBe(want);
  });
});

describe("printable", () => {
  it.each([
    ["a name with spaces, ümlauts and 漢字", "a name with spaces, ümlauts and 漢字"],
    ["<img onerror=…>", "<img onerror=…>"],
    ["a\nb\u0000\u007f", "a␊b␀␡"],
    ["\u202egnp.exe", "\ufffdgnp.exe"],
    [undefined, ""],
  ])("%j is %j", (text, want) => {
    expect(printable(text)).toBe(want);
  });
});

describe("ticks", () => {
  it.each([
    ["a span", [0.13, 0.91], 4, 0, [0, 0.2, 0.4, 0.6, 0.8, 1]],
    ["epochs", [1, 4], 6, 1, [1, 2, 3, 4]],
    ["one value", [3], 2, 1, [0, 2, 4, 6]],
    ["nothing", [], 4, 0, [0, 1]],
    ["what is no number", [NaN], 4, 0, [0, 1]],
  ])("of %s", (_, values, wanted, smallest, want) => {
    expect(ticks(values, wanted, smallest)).toEqual(want);
  });
});

describe("binName", () => {
  it.each([
    [0, 0, 8, 9, "0"],
    [8, 0, 8, 9, "8"],
    [1, 0, 40, 20, "2 to 4"],
  ])("%s from %s to %s in %s bins is %s", (index, min, max, bins, want) => {
    expect(binName(index, min, max, bins, String)).toBe(want);
  });
});

it.each([
  [0, "USD", "0.00 USD"],
  [12.3, "CNY", "12.30 CNY"],
  [0.0049902758, "USD", "0.005 USD"],
  [0.00123, "", "0.0012"],
  [undefined, undefined, "0.00"],
])("money %s %s is %s", (amount, currency, want) => {
  expect(money(amount, currency)).toBe(want);
});

it.each([
  [0, "0 %"],
  [0.0123, "1.2 %"],
  [0.456, "46 %"],
  [undefined, "0 %"],
])("the share %s is %s", (share, want) => {
  expect(percent(share)).toBe(want);
});
