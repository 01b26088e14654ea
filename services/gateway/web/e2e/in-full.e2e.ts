// Training in full in Chromium: what preflight and estimate say beside the form, a sweep made on the page, the account
// of a trial, and a version published as a base dataset.
// Environment: TRAINYARD_URL, TRAINYARD_TOKEN, E2E_ZIP (a small class-folder archive), E2E_REFUSED_BASE (the id of
// a base dataset on a file system that the region is said not to support, or empty), E2E_SHOTS.
import type { Locator, Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";

import { choose, freshId, open, type Session, waitForState } from "./session";

const minute = 60_000;
const refusedBase = process.env.E2E_REFUSED_BASE ?? "";
const zip = process.env.E2E_ZIP ?? "";

let session: Session;
let id: string;

beforeAll(async () => {
  if (zip === "") {
    throw new Error("Set E2E_ZIP to a small archive with one folder of images for each class");
  }
  session = await open();
  id = freshId("full");
  const { page } = session;
  await choose(page, "Choose a file", zip);
  await page.getByRole("textbox", { name: "Dataset", exact: true }).fill(id);
  await page.getByRole("button", { name: "Upload", exact: true }).click();
  expect(await waitForState(page, ["READY", "FAILED"], 5 * minute)).toBe("READY");
}, 6 * minute);

afterAll(async () => {
  await session.close();
});

/** Looks at the page in both colour schemes. */
async function lookBoth(name: string): Promise<void> {
  await session.look(name);
  await session.page.emulateMedia({ colorScheme: "dark" });
  await session.look(`${name}-dark`);
  await session.page.emulateMedia({ colorScheme: "light" });
}

it("shows beside the form what would go wrong and what it would cost, as the form rests", async () => {
  const { page, requests } = session;
  await page.getByRole("link", { name: "Train on it" }).click();
  const preflight = page.getByRole("region", { name: "Preflight" });
  // No AWS is behind a local suite, so its network can't be looked at; that is said, not passed over.
  await preflight.getByText(/^\d+ skipped$/).click();
  await preflight.getByText(/this installation has no access to EC2/).first().waitFor();
  const estimate = page.getByRole("table", { name: "Estimate" });
  await estimate.getByText("chosen").waitFor();

  // The server's word about a field stands at the field, whose part opens.
  const machine = page.getByRole("region", { name: "Machine and money" });
  await machine.getByText("Machine and money").click();
  await machine.getByRole("switch", { name: "Spot instances" }).check();
  await machine.getByRole("textbox", { name: "Keep the machine for (minutes)" }).fill("5");
  await machine.getByText(/^A spot instance can't be kept in a warm pool/).waitFor();
  await lookBoth("form-refused");
  await machine.getByRole("textbox", { name: "Keep the machine for (minutes)" }).fill("");
  await machine.getByRole("switch", { name: "Spot instances" }).uncheck();

  // Whoever types is asked about once.
  await estimate.getByText("chosen").waitFor();
  const asked = () => requests.filter((request) => request === "POST /v1/trainingJobs:estimate").length;
  const before = asked();
  await page.getByRole("textbox", { name: /^epochs/i }).pressSequentially("00", { delay: 100 });
  await page.getByRole("textbox", { name: /^epochs/i }).fill("1");
  await expect.poll(asked).toBeGreaterThan(before);
  expect(asked() - before).toBeLessThanOrEqual(2);

  // A way of reading is chosen where its cost stands.
  const fast = estimate.getByRole("radio", { name: /^Read by FastFile/ });
  await fast.check();
  expect(await page.getByRole("combobox", { name: "Input mode" }).inputValue()).toBe("FAST_FILE");
  await expect.poll(() => fast.isChecked()).toBe(true);
  await page.getByText("What was assumed").click();
  await lookBoth("form");
});

it("tells of a check that fails with its mend, and makes the job only when it is overridden", async (test) => {
  if (refusedBase === "") {
    test.skip("E2E_REFUSED_BASE names no base dataset");
  }
  const { page } = session;
  await baseBox(page, refusedBase).check();
  const failed = page.getByRole("region", { name: "Preflight" }).getByRole("list", { name: "Checks that failed" });
  await failed.getByText(/FSx for Lustre is currently not supported in the region/).waitFor();
  await page.getByText("1 check fails: the job would not be made.").waitFor();
  await failed.getByRole("button", { name: "Copy the mend of file-system-support" }).click();
  await lookBoth("form-check-failed");

  // Create refuses as well, with the same checks.
  await page.getByRole("button", { name: "Start training" }).click();
  const refused = page.getByRole("alert", { name: "The job was not started" });
  await refused.getByRole("list", { name: "Checks that failed" }).waitFor();
  await lookBoth("not-made");

  await failed.getByRole("checkbox", { name: /^Override/ }).check();
  await refused.waitFor({ state: "detached" });
  await page.getByText("Nothing was found that would make this job fail.").waitFor();
  await page.getByRole("button", { name: "Start training" }).click();
  // The check was right: the job fails as it said, with the cause and what mends it.
  await page.waitForURL(/\/training\/(?!new)[^/]+$/);
  expect(await waitForState(page, ["SUCCEEDED", "FAILED", "STOPPED"], 2 * minute)).toBe("FAILED");
  const failure = page.getByRole("alert", { name: "This training failed" });
  await failure.getByText(/^Cause:/).waitFor();
  await failure.getByText(/^Mend:/).waitFor();
  await page.getByText(/^When the job was made: 1 failed/).click();
  await page.getByText("overridden", { exact: true }).waitFor();
  await lookBoth("job-failed");
});

it("makes a sweep of two trials that ends, live", async () => {
  const { page } = session;
  await openForm(page);
  await page.getByRole("textbox", { name: /^epochs/i }).fill("1");
  await page.getByRole("switch", { name: "Train many jobs to find the best parameters" }).check();
  await page.getByRole("combobox", { name: "Sweep a parameter" }).selectOption("learning_rate");
  const axis = page.getByRole("group", { name: "Sweep of Learning rate" });
  await axis.getByRole("textbox", { name: "Values" }).fill("0.004, 5");
  await axis.getByText("Enter a number from 0.000001 to 1").waitFor();
  await axis.getByRole("textbox", { name: "Values" }).fill("0.004, 0.01");
  await page.getByText("2 trials", { exact: true }).waitFor();
  await page.getByRole("region", { name: "Estimate of each trial" }).waitFor();
  await lookBoth("form-sweep");
  await page.getByRole("button", { name: "Start the sweep of 2 trials" }).click();
  await page.waitForURL(/\/sweeps\/[^/]+$/);
  await lookBoth("sweep-running");
  expect(await waitForState(page, ["SUCCEEDED", "FAILED", "STOPPED"], 5 * minute)).toBe("SUCCEEDED");
  const trials = page.getByRole("table", { name: "Trials" });
  expect(await trials.getByText("SUCCEEDED").count()).toBe(2);
  expect(await trials.getByText("best").count()).toBe(1);
  await page.getByRole("img", { name: /^validation:accuracy: trial / }).waitFor();
  await lookBoth("sweep");
  await expectToFitATelephone(page, "the sweep");
});

it("accounts for a trial: its ledger beside the estimate, and what preflight found", async () => {
  const { page } = session;
  await page.getByRole("link", { name: "Open the best trial" }).click();
  await page.getByRole("heading", { name: /^Training job / }).waitFor();
  const money = page.getByRole("table", { name: "Estimate and actual" });
  const billed = await cells(money.getByRole("row", { name: /^Billed/ }));
  expect(billed).toHaveLength(2);
  expect(billed.every((text) => /^[\d.]+ (s|min)/.test(text))).toBe(true);
  expect((await cells(money.getByRole("row", { name: /^Money/ })))[1]).toMatch(/^\d[\d.e-]* USD$/);
  await page.getByText(/^When the job was made: .*\d+ skipped/).click();
  await page.getByRole("link", { name: "Its sweep" }).waitFor();
  await lookBoth("job-in-full");
  await expectToFitATelephone(page, "the job");
});

it("goes on in a new job from one that was stopped", async () => {
  const { page } = session;
  await openForm(page);
  await page.getByRole("textbox", { name: /^epochs/i }).fill("200");
  await page.getByRole("button", { name: "Start training" }).click();
  await page.waitForURL(/\/training\/(?!new)[^/]+$/);
  const stopped = page.url();
  await waitForState(page, ["RUNNING"], minute);
  await page.getByRole("button", { name: "Stop" }).click();
  expect(await waitForState(page, ["SUCCEEDED", "STOPPED", "FAILED"], 2 * minute)).toBe("STOPPED");
  await page.getByRole("button", { name: "Resume" }).click();
  await page.waitForURL((target) => target.href !== stopped);
  await page.getByRole("link", { name: stopped.split("/").at(-1) ?? "", exact: true }).waitFor();
  await page.getByRole("button", { name: "Stop" }).click();
  await waitForState(page, ["STOPPED"], 2 * minute);
});

it("publishes the version as a base dataset, offers it to jobs, and takes it back", async () => {
  const { page } = session;
  await page.getByRole("link", { name: `datasets/${id}/versions/1` }).click();
  await page.getByRole("link", { name: "Publish as a base dataset" }).click();
  await page.getByRole("textbox", { name: "Id", exact: true }).fill("Team");
  await page.getByText("Use a-z, 0-9 and -, beginning with a letter").waitFor();
  const base = `team-${id}`;
  await page.getByRole("textbox", { name: "Id", exact: true }).fill(base);
  await page.getByRole("textbox", { name: "Title" }).fill("The team's digits");
  await page.getByRole("textbox", { name: "Mix" }).fill("30");
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  const row = page.getByRole("table", { name: "Base datasets" }).getByRole("row", { name: new RegExp(base) });
  await row.getByRole("link", { name: `${id}, version 1` }).waitFor();
  expect(await cells(row)).toContain("30 %");
  await lookBoth("base-datasets");
  await expectToFitATelephone(page, "base datasets");

  await openForm(page);
  await baseBox(page, base).check();
  await page.getByRole("table", { name: "Estimate" }).getByText("base on EFS").first().waitFor();
  await lookBoth("form-base");

  await page.getByRole("link", { name: "Base datasets", exact: true }).click();
  await row.getByRole("button", { name: `Delete ${base}` }).click();
  await row.getByRole("button", { name: "Yes, delete" }).click();
  await row.waitFor({ state: "detached" });
});

it("lists sweeps", async () => {
  const { page } = session;
  await page.getByRole("link", { name: "Sweeps", exact: true }).click();
  await page.getByRole("table", { name: "Sweeps" }).getByText("2 of 2").first().waitFor();
  await lookBoth("sweeps");
  await page.getByRole("link", { name: "Training", exact: true }).click();
  await page.getByRole("table", { name: "Training jobs" }).waitFor();
  await lookBoth("jobs");
});

it("did nothing that the browser or axe complains of", () => {
  expect(session.faults).toEqual([]);
});

async function openForm(page: Page): Promise<void> {
  await page.goto(`${new URL(page.url()).origin}/training/new?version=datasets/${id}/versions/1`);
}

function baseBox(page: Page, base: string): Locator {
  return page.locator(`input[type=checkbox][value="baseDatasets/${base}"]`);
}

function cells(row: Locator): Promise<string[]> {
  return row.getByRole("cell").allInnerTexts();
}

/** Wide tables scroll by themselves; the page as a whole doesn't. */
async function expectToFitATelephone(page: Page, what: string): Promise<void> {
  await page.setViewportSize({ width: 390, height: 800 });
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect(over, what).toBeLessThanOrEqual(0);
  await session.look(`telephone-${what.replaceAll(" ", "-")}`);
  await page.setViewportSize({ width: 1200, height: 900 });
}
