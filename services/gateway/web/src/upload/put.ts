import type { SignedPart } from "../api/types";

/** S3's refusal of a part. */
export class PutError extends Error {
  /** HTTP status; 0 when no answer came. */
  readonly status: number;
  /** S3's code, such as `NoSuchUpload`. */
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.name = "PutError";
    this.status = status;
    this.code = code;
  }

  /** Whether the same part may be taken when it is signed and sent again. */
  get transient(): boolean {
    // 403 is what an expired signature gets; a fresh one is asked for before each retry.
    return this.status === 0 || this.status >= 500 || [403, 408, 429].includes(this.status);
  }
}

// The browser sets these itself and refuses to have them set, though they may be signed.
const setByBrowser = new Set(["host", "content-length"]);

// A connection that moves no byte for so long is given up.
const stalled = 60_000;

/** PUTs a part to S3. By XMLHttpRequest: fetch can't tell how much it has sent. */
export function putPart(
  part: SignedPart,
  body: Blob,
  onSent: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const request = new XMLHttpRequest();
    request.open("PUT", part.url ?? "");
    for (const [name, value] of Object.entries(part.headers ?? {})) {
      if (!setByBrowser.has(name.toLowerCase())) {
        request.setRequestHeader(name, value);
      }
    }
    let timer = setTimeout(giveUp, stalled);
    function giveUp() {
      request.abort();
      settle(() => reject(new PutError(0, "", "The storage stopped answering.")));
    }
    function stop() {
      request.abort();
      settle(() => reject(signal.reason as Error));
    }
    function settle(outcome: () => void) {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      outcome();
    }
    signal.addEventListener("abort", stop);
    request.upload.onprogress = ({ loaded }) => {
      clearTimeout(timer);
      timer = setTimeout(giveUp, stalled);
      onSent(loaded);
    };
    request.onerror = () => settle(() => reject(new PutError(0, "", "The storage can't be reached.")));
    request.onload = () => {
      const { status } = request;
      settle(status >= 200 && status < 300 ? resolve : () => reject(refusal(status, request.responseText)));
    };
    request.send(body);
  });
}

function refusal(status: number, body: string): PutError {
  const answer = new DOMParser().parseFromString(body, "application/xml");
  const code = answer.querySelector("Code")?.textContent ?? "";
  const message = answer.querySelector("Message")?.textContent ?? `HTTP status ${status}`;
  return new PutError(status, code, `The storage refused a part: ${code === "" ? message : `${code}: ${message}`}`);
}
