// Signing in when there is no session. Environment: TRAINYARD_URL, TRAINYARD_TOKEN, E2E_SHOTS.
import { afterAll, beforeAll, expect, it } from "vitest";

import { open, type Session, waitForLive } from "./session";

const token = process.env.TRAINYARD_TOKEN ?? "";

let session: Session;

beforeAll(async () => {
  if (token === "") {
    throw new Error("Set TRAINYARD_TOKEN to a token of the project");
  }
  session = await open();
});

afterAll(async () => {
  await session.close();
});

it("asks for a token when the session is lost, and takes a good one alone", async () => {
  const { page, look } = session;
  // On loopback the server has signed the browser in with the page.
  await page.context().clearCookies();
  await page.getByRole("link", { name: "Models" }).click();
  const field = page.getByLabel(/^Token/);
  await field.fill("ty_nobody-issued-this");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert", { name: "You are not signed in" }).waitFor();
  await look("sign-in");
  await field.fill(` ${token} `);
  await page.getByRole("button", { name: "Sign in" }).click();
  await waitForLive(page);
  await page.getByRole("heading", { name: "Models", exact: true }).waitFor();
  // Scripts can't read what the session is made of.
  expect(await page.evaluate(() => document.cookie)).toBe("");
});

it("did nothing that the browser or axe complains of", () => {
  expect(session.faults).toEqual([]);
});
