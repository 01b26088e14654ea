import type { CheckResult, Preflight, Status } from "./types";

const preflightType = "type.googleapis.com/trainyard.training.v1.PreflightTrainingJobResponse";

/** What the API answered instead of a result. Its message says how to mend it. */
export class ApiError extends Error {
  /** HTTP status. */
  readonly status: number;
  /** An ErrorReason's name; empty when the answer bears none (a proxy's page, for example). */
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** What preflight found, where it kept a job from being made. */
  readonly checks: readonly CheckResult[];

  constructor(status: number, body: Status | undefined) {
    super(body?.message ?? `The server answered with HTTP status ${status}. Try again in a moment.`);
    this.name = "ApiError";
    this.status = status;
    const info = body?.details?.find((detail) => detail["@type"] === "type.googleapis.com/google.rpc.ErrorInfo");
    this.reason = typeof info?.reason === "string" ? info.reason : "";
    this.metadata = (info?.metadata ?? {}) as Record<string, string>;
    const preflight = body?.details?.find((detail) => detail["@type"] === preflightType) as Preflight | undefined;
    this.checks = preflight?.checks ?? [];
  }
}

/** No answer came at all. */
export class UnreachableError extends Error {
  constructor(cause: unknown) {
    super("The server can't be reached. Is it running, and is this computer online?", { cause });
    this.name = "UnreachableError";
  }
}

/** Whether the same call may succeed when it is repeated: no answer came, or the server says it can't now. */
export function isTransient(error: unknown): boolean {
  if (error instanceof ApiError) {
    return [408, 429, 502, 503, 504].includes(error.status) && error.reason !== "QUOTA_EXCEEDED";
  }
  return error instanceof UnreachableError;
}

/** The text of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
