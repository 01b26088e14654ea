// The main job in Debian's Chromium: upload, READY, train, SUCCEEDED, download. It is told by its environment
// where things are: TRAINYARD_URL and TRAINYARD_TOKEN (the gateway), E2E_ZIP (a small class-folder archive),
// E2E_BASE (a base dataset's id, or empty), E2E_RESTART_URL_CMD (a command that restarts the gateway, or empty),
// E2E_EPOCHS, E2E_SHOTS (a folder for screenshots, or empty).
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";

import type { Event, Model, TrainingJob, Version } from "../src/api/types";
import { choose, freshId, open, type Session, waitForLive, waitForState } from "./session";

const minute = 60_000;
const zip = process.env.E2E_ZIP ?? "";
const base = process.env.E2E_BASE ?? "";
const restart = process.env.E2E_RESTART_URL_CMD ?? "";

let session: Session;

beforeAll(async () => {
  if (zip === "") {
    throw new Error("Set E2E_ZIP to a small archive with one folder of images for each class");
  }
  session = await open();
});

afterAll(async () => {
  await session.close();
});

it("brings a file from the disk to a downloaded model, live and without a reload", async () => {
  const { page, events, requests, look } = session;
  await page.evaluate(() => Object.assign(window, { neverReloaded: true }));
  await look("datasets");

  // Upload.
  const id = freshId("digits");
  await choose(page, "Choose a file", zip);
  await page.getByRole("textbox", { name: "Dataset", exact: true }).fill(id);
  await look("upload-form");
  await page.getByRole("button", { name: "Upload", exact: true }).click();
  await page.waitForURL(`**/datasets/${id}/versions/1`);
  await look("uploading");

  // Converted, and shown so by events alone: the page never asks for the version again.
  const version = `datasets/${id}/versions/1`;
  await waitForState(page, ["UPLOADED", "CONVERTING", "READY", "FAILED"], 5 * minute);
  const asked = requests.filter((request) => request === `GET /v1/${version}`).length;
  await look("converting");
  expect(await waitForState(page, ["READY", "FAILED"], 10 * minute)).toBe("READY");
  expect(requests.filter((request) => request === `GET /v1/${version}`).length).toBe(asked);
  expect(statesBySSE<Version>(events, version).at(-1)).toBe("READY");
  await expect.poll(() => page.getByRole("table", { name: "Examples of each class" }).getByRole("row").count()).toBeGreaterThan(1);

  // Examples read back from the shards, of all and of one class.
  const examples = page.getByRole("region", { name: "Examples", exact: true });
  const pictures = examples.getByRole("list", { name: "Examples" }).getByRole("img");
  await pictures.first().waitFor();
  expect(await pictures.count()).toBeGreaterThan(10);
  expect(await pictures.first().evaluate((img: HTMLImageElement) => img.decode().then(() => img.naturalWidth))).toBeGreaterThan(1);
  const className = (await pictures.first().getAttribute("alt")) ?? "";
  await examples.getByRole("combobox", { name: "Class" }).selectOption(className);
  await expect.poll(() => pictures.evaluateAll((all) => [...new Set(all.map((img) => img.getAttribute("alt")))])).toEqual([className]);
  await look("ready");

  // Train.
  await page.getByRole("link", { name: "Train on it" }).click();
  const epochs = page.getByRole("textbox", { name: /^epochs/i });
  await epochs.fill("0");
  await page.getByText(/^Enter a number from 1 to/).waitFor();
  expect(await page.getByRole("button", { name: "Start training" }).isDisabled()).toBe(true);
  await epochs.fill(process.env.E2E_EPOCHS ?? "4");
  if (base !== "") {
    await page.locator(`input[type=checkbox][value="baseDatasets/${base}"]`).check();
  }
  await look("training-form");
  await page.getByRole("button", { name: "Start training" }).click();
  await page.waitForURL(/\/training\/(?!new)[^/]+$/);
  const jobId = new URL(page.url()).pathname.split("/").at(-1) ?? "";
  const job = `trainingJobs/${jobId}`;
  await waitForState(page, ["RUNNING", "SUCCEEDED", "FAILED"], 5 * minute);
  await look("running");

  if (restart !== "") {
    await page.getByRole("table", { name: "Phases" }).getByText("Training").waitFor({ timeout: 5 * minute });
    const streams = () => requests.filter((request) => request === "GET /v1/events:watch").length;
    const before = streams();
    await promisify(execFile)("/bin/sh", ["-c", restart]);
    await expect.poll(streams, { timeout: 2 * minute }).toBeGreaterThan(before);
    await waitForLive(page);
    await look("after-restart");
  }
  expect(await waitForState(page, ["SUCCEEDED", "FAILED", "STOPPED"], 12 * minute)).toBe("SUCCEEDED");
  await page.getByText("Completed", { exact: true }).waitFor();
  await page.getByRole("img", { name: /^loss: / }).waitFor();
  expect(statesBySSE<TrainingJob>(events, job).at(-1)).toBe("SUCCEEDED");
  expectNoGap(events);
  await look("succeeded");

  // Download.
  await page.getByRole("link", { name: "Open the model" }).click();
  await page.getByRole("table", { name: "Confusion matrix" }).waitFor();
  await look("model");
  const model = await page.evaluate(async (path) => (await fetch(path)).json() as Promise<Model>, `/v1/models/${jobId}`);
  const saved = await download(page);
  expect(saved.subarray(0, 2).toString("hex")).toBe("1f8b");
  expect(String(saved.length)).toBe(model.sizeBytes);
  expect(createHash("sha256").update(saved).digest("hex")).toBe(model.sha256);

  expect(await page.evaluate(() => "neverReloaded" in window)).toBe(true);
});

it("fits a telephone", async () => {
  const { page, look } = session;
  await page.setViewportSize({ width: 390, height: 800 });
  for (const list of ["Datasets", "Training", "Models"]) {
    await page.getByRole("link", { name: list, exact: true }).click();
    await page.getByRole("table").first().waitFor();
    await expectToFit(page, list);
    await page.getByRole("table").first().getByRole("link").first().click();
    await page.getByRole("heading", { name: /^(Versions|Log|Confusion matrix)$/ }).waitFor();
    await expectToFit(page, `a page of ${list}`);
    await look(`telephone-${list.toLowerCase()}`);
  }
  await page.setViewportSize({ width: 1200, height: 900 });
});

it("shows its lists in the dark, too, and is used by keyboard", async () => {
  const { page, look } = session;
  await page.emulateMedia({ colorScheme: "dark" });
  await page.getByRole("link", { name: "Training", exact: true }).click();
  await page.getByRole("table", { name: "Training jobs" }).waitFor();
  await look("dark-training");
  await page.getByRole("link", { name: "Models", exact: true }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("table", { name: "Your models" }).waitFor();
  // After navigation the focus is at the new page's heading, so that Tab goes into it.
  expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("Models");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: /^Model / }).waitFor();
  await look("dark-model");
});

it("did nothing that the browser or axe complains of", () => {
  expect(session.faults).toEqual([]);
});

/** Wide tables scroll by themselves; the page as a whole doesn't. */
async function expectToFit(page: Page, what: string): Promise<void> {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect(over, what).toBeLessThanOrEqual(0);
}

/** The states that events told of a resource. */
function statesBySSE<T extends Version | TrainingJob>(events: Event[], resource: string): (T["state"] | undefined)[] {
  return events.filter((event) => event.resource === resource).map((event) => (event.payload as T | undefined)?.state);
}

/** Sequences go up by one, across restarts as well. */
function expectNoGap(events: Event[]): void {
  const sequences = events.map((event) => Number(event.sequence));
  expect(sequences).toEqual(sequences.map((_, index) => (sequences[0] ?? 0) + index));
}

async function download(page: Page): Promise<Buffer> {
  const coming = page.waitForEvent("download");
  await page.getByRole("button", { name: /^Download/ }).click();
  const folder = mkdtempSync(join(tmpdir(), "trainyard-e2e-"));
  try {
    const file = join(folder, "model.tar.gz");
    await (await coming).saveAs(file);
    return readFileSync(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
