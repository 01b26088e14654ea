// A table: its label column is named in the options, and the page shows what is in it and lets it be downloaded.
// Environment: TRAINYARD_URL, TRAINYARD_TOKEN, E2E_SHOTS.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, it } from "vitest";

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

it("says what each format looks like", async () => {
  const { page, look } = session;
  await page.getByRole("link", { name: "formats" }).click();
  await page.getByRole("heading", { name: "Formats" }).waitFor();
  const csv = page.getByRole("region", { name: "CSV and TSV" });
  await csv.getByLabel("Example of CSV and TSV").filter({ hasText: "train.csv" }).waitFor();
  await look("formats");
  await page.getByRole("link", { name: "Datasets", exact: true }).click();
});

it("converts a table as the options say, and shows its statistics", async () => {
  const { page, look } = session;
  // Every tenth row has no size; the last row is no row.
  const rows = Array.from({ length: 300 }, (_, i) => `${i % 10 === 0 ? "" : i % 7},${i / 3},${["oak", "elm", "fir"][i % 3] ?? ""}`);
  const file = join(folder, "trees.csv");
  writeFileSync(file, ["size,height,kind", ...rows, "1"].join("\n"));

  await choose(page, "Choose a file", file);
  await page.getByRole("textbox", { name: "Dataset", exact: true }).fill(freshId("trees"));
  await page.getByText("Options", { exact: true }).click();
  await page.getByRole("combobox", { name: "Format" }).selectOption("coco");
  expect(await page.getByRole("textbox", { name: "Label column" }).isVisible()).toBe(false);
  await page.getByRole("combobox", { name: "Format" }).selectOption("csv");
  await page.getByLabel("Example of CSV and TSV").waitFor();
  await page.getByRole("textbox", { name: "Label column" }).fill("kind");

  const upload = page.getByRole("button", { name: "Upload", exact: true });
  await page.getByRole("textbox", { name: "Train" }).fill("70");
  await page.getByText("The three shares must sum to 100 %; they sum to 90 %.").waitFor();
  expect(await upload.isDisabled()).toBe(true);
  await page.getByRole("textbox", { name: "Validation" }).fill("20");
  await page.getByRole("switch", { name: "The same classes in each split" }).check();
  await page.getByRole("switch", { name: "One file to download" }).check();
  await look("options");
  await upload.click();
  expect(await waitForState(page, ["READY", "FAILED"], 120_000)).toBe("READY");

  // Stratified, so the shares are those of every class.
  const oak = page.getByRole("table", { name: "Examples of each class" }).getByRole("row", { name: /^oak/ });
  await oak.waitFor(); // It is loaded once the version is READY.
  expect(await oak.getByRole("cell").allInnerTexts()).toEqual(["70", "20", "10", "100"]);
  const found = page.getByRole("table", { name: "Found and kept" }).getByRole("row", { name: /^Rows/ });
  expect(await found.getByRole("cell").allInnerTexts()).toEqual(["301", "300", "1"]);
  await page.getByRole("img", { name: /^height: median (49|50)/ }).waitFor();
  await page.getByText("size, 10 %").waitFor();
  await page.getByRole("row", { name: /^trees.csv row 302 / }).waitFor();

  const coming = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download as one file" }).click();
  const saved = join(folder, "saved");
  await (await coming).saveAs(saved);
  // A tar says so at 257.
  expect(readFileSync(saved).subarray(257, 262).toString()).toBe("ustar");
  await page.getByText(/^Files \(/).click();
  await page.getByRole("link", { name: "features.json" }).waitFor();
  await look("statistics");
  await page.emulateMedia({ colorScheme: "dark" });
  await look("dark-statistics");
  await page.setViewportSize({ width: 390, height: 800 });
  expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
});

it("lists what was left out of a table that failed because of it", async () => {
  const { page, look } = session;
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.getByRole("link", { name: "Datasets", exact: true }).click();
  const file = join(folder, "strict.csv");
  writeFileSync(file, ["size,kind", "1,oak", "2,elm", "3", "4,oak"].join("\n"));
  await choose(page, "Choose a file", file);
  await page.getByRole("textbox", { name: "Dataset", exact: true }).fill(freshId("strict"));
  await page.getByText("Options", { exact: true }).click();
  await page.getByRole("textbox", { name: "Tolerate bad files up to" }).fill("0");
  await page.getByRole("button", { name: "Upload", exact: true }).click();
  expect(await waitForState(page, ["READY", "FAILED"], 120_000)).toBe("FAILED");
  await page.getByText("This file could not be converted").waitFor();
  await page.getByRole("row", { name: /^strict.csv row 4 .*MALFORMED_ROW/ }).waitFor();
  await look("failed-table");
});

it("did nothing that the browser or axe complains of", () => {
  expect(session.faults).toEqual([]);
});
