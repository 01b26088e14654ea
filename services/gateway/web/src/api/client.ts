import createClient from "openapi-fetch";
import type { paths } from "trainyard-api";

import { ApiError, UnreachableError } from "./errors";
import { withoutNulls } from "./json";
import { setSignedIn } from "./session";
import type { Status } from "./types";

/** The typed REST client. Credentials are the session cookie, which scripts can't read. */
export const api = createClient<paths>();

/** Waits for a call and gives its result, or throws ApiError or UnreachableError. */
export async function answer<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await call.catch(unreachable);
  if (!response.ok || data === undefined) {
    if (response.status === 401) {
      setSignedIn(false);
    }
    throw new ApiError(response.status, isStatus(error) ? error : undefined);
  }
  return withoutNulls(data);
}

function unreachable(error: unknown): never {
  // TypeError is what fetch throws when no answer came; others, such as AbortError, stay what they are.
  throw error instanceof TypeError ? new UnreachableError(error) : error;
}

function isStatus(body: unknown): body is Status {
  return typeof body === "object" && body !== null && "message" in body;
}

/**
 * Exchanges a token for the session cookie. Throws ApiError when the token is not one that was issued, and an
 * Error when the browser doesn't keep the cookie.
 */
export async function signIn(token: string): Promise<void> {
  const response = await fetch("/session", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token }),
  }).catch(unreachable);
  if (!response.ok) {
    const body: unknown = await response.json().catch(() => undefined);
    throw new ApiError(response.status, isStatus(body) ? body : undefined);
  }
  const { status } = await fetch("/v1/datasets?pageSize=1").catch(unreachable);
  if (status === 401) {
    throw new Error(
      "The token is good, but the browser did not keep the session. Open this page by https, or as localhost on the computer it runs on.",
    );
  }
  setSignedIn(true);
}

/** Follows page tokens to the end. */
export async function allPages<P extends { nextPageToken?: string }>(
  page: (pageToken: string) => Promise<P>,
): Promise<P[]> {
  const pages: P[] = [];
  let token = "";
  do {
    const next = await page(token);
    pages.push(next);
    token = next.nextPageToken ?? "";
  } while (token !== "");
  return pages;
}
