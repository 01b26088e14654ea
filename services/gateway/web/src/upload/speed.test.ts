import { expect, it } from "vitest";

import { Speed } from "./speed";

it("is unknown at first, then bytes by seconds", () => {
  const speed = new Speed();
  speed.note(0, 1000);
  speed.note(100, 1100);
  expect(speed.bytesPerSecond).toBeUndefined();
  speed.note(2000, 2000);
  expect(speed.bytesPerSecond).toBe(2000);
});

it("forgets what is long past", () => {
  const speed = new Speed(1000);
  speed.note(0, 0);
  speed.note(10_000, 1000);
  speed.note(10_100, 2000);
  speed.note(10_200, 3000);
  expect(speed.bytesPerSecond).toBe(100);
});

it("begins anew when bytes are taken back", () => {
  const speed = new Speed();
  speed.note(5000, 0);
  speed.note(1000, 1000);
  expect(speed.bytesPerSecond).toBeUndefined();
  speed.note(2000, 2000);
  expect(speed.bytesPerSecond).toBe(1000);
});
