import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import axe from "axe-core";
import { type BrowserContext, chromium, type Page } from "playwright-core";

import type { Event } from "../src/api/types";

/** The gateway under test. */
export const url = process.env.TRAINYARD_URL ?? "http://127.0.0.1:8080";

/** A browser with the page open and signed in, and a record of what went over the wire. */
export interface Session {
  page: Page;
  /** Events that came by SSE, in the order they came. */
  events: Event[];
  /** REST requests, `METHOD /path`. */
  requests: string[];
  /** All that was wrong: uncaught errors, console errors, refused styles or scripts, what axe finds inaccessible. */
  faults: string[];
  /** Looks at the page as it stands: has axe check it by WCAG A and AA, and saves a picture where E2E_SHOTS says. */
  look: (name: string) => Promise<void>;
  close: () => Promise<void>;
}

export async function open(): Promise<Session> {
  const profile = mkdtempSync(join(tmpdir(), "trainyard-e2e-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    acceptDownloads: true,
    viewport: { width: 1200, height: 900 },
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  try {
    const page = context.pages()[0] ?? (await context.newPage());
    const session = await watch(context, page, profile);
    await page.goto(url);
    await signIn(page);
    return session;
  } catch (error) {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
    throw error;
  }
}

async function watch(context: BrowserContext, page: Page, profile: string): Promise<Session> {
  const events: Event[] = [];
  const requests: string[] = [];
  const faults: string[] = [];

  const devtools = await context.newCDPSession(page);
  await devtools.send("Network.enable");
  devtools.on("Network.eventSourceMessageReceived", ({ eventName, data }) => {
    if (/^(dataset|version|trainingJob|model)\./.test(eventName)) {
      events.push(JSON.parse(data) as Event);
    }
  });
  page.on("request", (request) => requests.push(`${request.method()} ${new URL(request.url()).pathname}`));
  page.on("pageerror", (error) => faults.push(`uncaught: ${error.message}`));
  page.on("console", (message) => {
    // A request that fails is logged by the browser; the tests make some fail on purpose.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) {
      faults.push(message.text());
    }
  });

  const shots = process.env.E2E_SHOTS;
  let taken = 0;
  return {
    page,
    events,
    requests,
    faults,
    look: async (name) => {
      faults.push(...(await inaccessible(page)).map((fault) => `${name}: ${fault}`));
      if (shots !== undefined && shots !== "") {
        mkdirSync(shots, { recursive: true });
        const number = String(++taken).padStart(2, "0");
        await page.screenshot({ path: join(shots, `${number}-${name}.png`), fullPage: true });
      }
    },
    close: async () => {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

async function inaccessible(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => (window as unknown as { axe: typeof axe }).axe.run({
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"],
  }));
  return violations.map(({ help, nodes }) => `${help}: ${nodes.map((node) => node.html).join(" ")}`);
}

/** On loopback the server signs the browser in by itself; elsewhere the page asks for a token. */
async function signIn(page: Page): Promise<void> {
  const form = page.getByLabel(/^Token/);
  // Not just any status: before its first answer the page can't know that it has no session.
  await form.or(liveStatus(page)).first().waitFor();
  if (await form.isVisible()) {
    await form.fill(process.env.TRAINYARD_TOKEN ?? "");
    await page.getByRole("button", { name: "Sign in" }).click();
  }
  await waitForLive(page);
}

function liveStatus(page: Page) {
  return page.getByRole("status", { name: "Live updates" }).filter({ hasText: /^\s*Live$/ });
}

export async function waitForLive(page: Page): Promise<void> {
  await liveStatus(page).waitFor({ timeout: 120_000 });
}

/** Chooses a file by the button of the given name. */
export async function choose(page: Page, button: string, file: string): Promise<void> {
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: button }).click();
  await (await chooser).setFiles(file);
}

/** Waits until the page shows one of the states, and gives it. */
export async function waitForState(page: Page, states: string[], timeout: number): Promise<string> {
  const badge = page.getByTestId("state").filter({ hasText: new RegExp(`^(${states.join("|")})$`) });
  await badge.first().waitFor({ timeout });
  return badge.first().innerText();
}

/** A dataset id of this run's own. */
export function freshId(prefix: string): string {
  return `${prefix}-${Date.now().toString(36)}`;
}
