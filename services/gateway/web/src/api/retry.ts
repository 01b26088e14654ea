import { isTransient } from "./errors";

/** Milliseconds to wait before the given retry (from 0): doubling to a ceiling, with jitter against herds. */
export function backoff(retry: number, first = 500, ceiling = 15_000): number {
  return Math.min(ceiling, first * 2 ** retry) * (0.5 + Math.random() / 2);
}

/** Waits, unless the signal ends it: then it throws the signal's reason. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** Repeats a call that fails for passing reasons. About two minutes in all, which outlasts a restart. */
export async function retrying<T>(call: () => Promise<T>, signal?: AbortSignal, retries = 12): Promise<T> {
  for (let retry = 0; ; retry++) {
    try {
      return await call();
    } catch (error) {
      if (signal?.aborted || retry >= retries || !isTransient(error)) {
        throw error;
      }
      await sleep(backoff(retry), signal);
    }
  }
}
