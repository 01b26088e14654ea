// An upload's ups and downs, with a file of random bytes: nothing here needs it to convert.
// Environment: TRAINYARD_URL, TRAINYARD_TOKEN, E2E_SHOTS.
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, it } from "vitest";

import type { Version } from "../src/api/types";
import { choose, freshId, open, type Session, waitForState } from "./session";

let session: Session;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "trainyard-e2e-"));
  session = await open();
});

afterAll(async () => {
  await session.close();
  rmSync(folder, { recursive: true });
});

it("goes on after a reload with the parts that S3 has, and can be given up", async () => {
  const { page, look } = session;
  // More than any part size that a file so small is given.
  const file = join(folder, "random.zip");
  writeFileSync(file, randomBytes(40 << 20));

  // One part passes; the others are held back, as by a line that stalls.
  const isPart = (target: URL) => target.port !== new URL(page.url()).port;
  let onItsWay = false;
  let stored = false;
  page.on("response", (response) => {
    if (response.request().method() === "PUT") {
      onItsWay = false;
      stored ||= response.ok();
    }
  });
  await page.route(isPart, async (route) => {
    if (route.request().method() !== "PUT") {
      await route.continue();
    } else if (!onItsWay && !stored) {
      onItsWay = true;
      await route.continue();
    }
  });
  const id = freshId("random");
  await choose(page, "Choose a file", file);
  await page.getByRole("textbox", { name: "Dataset", exact: true }).fill(id);
  await page.getByRole("button", { name: "Upload", exact: true }).click();
  await page.waitForURL(`**/datasets/${id}/versions/1`);
  const path = `/v1/datasets/${id}/versions/1`;
  const partsStored = () =>
    page.evaluate(async (parts) => ((await (await fetch(parts)).json()) as { parts?: unknown[] }).parts?.length ?? 0, `${path}/parts`);
  await expect.poll(partsStored, { timeout: 60_000 }).toBe(1);
  await look("upload-held-back");

  // Leaving is asked about while an upload runs.
  page.on("dialog", (dialog) => void dialog.accept());
  await page.reload();
  await page.getByText("This upload is not finished.").waitFor();
  await look("upload-unfinished");

  // Another file is refused.
  const other = join(folder, "other.zip");
  writeFileSync(other, randomBytes(1000));
  await choose(page, "Choose the same file", other);
  await page.getByText(/That is another file/).waitFor();

  // The same file goes on: what is there isn't sent again.
  await choose(page, "Choose the same file", file);
  await page.getByText(/were there already/).waitFor({ timeout: 60_000 });
  await look("upload-resumed");
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText(/paused/).first().waitFor();
  await page.unroute(isPart);
  await page.getByRole("button", { name: "Go on" }).click();
  // Random bytes are no archive: the converter says so.
  expect(await waitForState(page, ["FAILED", "READY"], 120_000)).toBe("FAILED");
  await page.getByRole("alert", { name: "This file could not be converted" }).waitFor();
  await look("upload-no-archive");
});

it("is given up on request", async () => {
  const { page } = session;
  const file = join(folder, "given-up.zip");
  writeFileSync(file, randomBytes(1 << 20));
  await page.route((target) => target.port !== new URL(page.url()).port, () => undefined);
  await page.getByRole("link", { name: "Datasets", exact: true }).click();
  const id = freshId("given-up");
  await choose(page, "Choose a file", file);
  await page.getByRole("textbox", { name: "Dataset", exact: true }).fill(id);
  await page.getByRole("button", { name: "Upload", exact: true }).click();
  await page.waitForURL(`**/datasets/${id}/versions/1`);
  await page.getByRole("button", { name: "Cancel upload" }).click();
  await page.getByText("This upload was given up.").waitFor();
  const version = await page.evaluate(
    async (path) => (await fetch(path)).json() as Promise<Version>,
    `/v1/datasets/${id}/versions/1`,
  );
  expect(version.state).toBe("ABORTED");
  await page.unrouteAll();
});

it("did nothing that the browser or axe complains of", () => {
  expect(session.faults).toEqual([]);
});
