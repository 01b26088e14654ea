import { describe, expect, it } from "vitest";

import { account, attemptSeconds } from "./ledger";

const ledger = { queueSeconds: 3, downloadSeconds: 2, trainSeconds: 10, uploadSeconds: 1, totalSeconds: 16, billedSeconds: "13" };

describe("account", () => {
  it("sets the estimate beside what it came to", () => {
    const estimate = { queueSeconds: 5, downloadSeconds: 1, trainSeconds: 9, uploadSeconds: 1, totalSeconds: 16, billedSeconds: 11 };
    expect(account(ledger, estimate).map(({ name, expected, actual }) => [name, expected, actual])).toEqual([
      ["Queue", 5, 3],
      ["Download", 1, 2],
      ["Train", 9, 10],
      ["Upload", 1, 1],
      ["In all", 16, 16],
      ["Billed", 11, 13],
    ]);
  });

  it("stands alone without an estimate", () => {
    expect(account(ledger, undefined).every((line) => line.expected === undefined)).toBe(true);
  });

  it("tells of other statuses where there were some", () => {
    expect(account({ ...ledger, otherSeconds: 2 }, undefined).map((line) => line.name)).toContain("Other");
  });
});

it("sums an attempt", () => {
  expect(attemptSeconds({ queueSeconds: 3, trainSeconds: 10.5 })).toBe(13.5);
});
