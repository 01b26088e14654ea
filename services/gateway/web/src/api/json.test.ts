import { expect, it } from "vitest";

import { withoutNulls } from "./json";

it("leaves out members that are null, however deep, and nothing else", () => {
  expect(
    withoutNulls({ endTime: null, name: "", count: 0, done: false, phases: [{ endTime: null, seconds: 1 }], row: [null, 1] }),
  ).toEqual({ name: "", count: 0, done: false, phases: [{ seconds: 1 }], row: [null, 1] });
});
