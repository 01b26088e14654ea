import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { crc32c, toBase64 } from "./crc32c";
import { PutError } from "./put";
import { cut, type Progress, transfer, type Transport } from "./transfer";

/** A bucket in memory that keeps one upload's parts and refuses bytes that don't fit the signed checksum. */
class Bucket implements Transport {
  readonly parts = new Map<number, { crc32c: string; bytes: Uint8Array }>();
  readonly puts: number[] = [];
  readonly signed: number[][] = [];
  inFlight = 0;
  mostInFlight = 0;
  /** Errors to throw on the next PUTs of a part. */
  readonly failures = new Map<number, Error[]>();

  async crc32c(body: Blob) {
    return toBase64(crc32c(new Uint8Array(await body.arrayBuffer())));
  }

  listParts() {
    return Promise.resolve(
      [...this.parts].map(([number, part]) => ({ number, sizeBytes: part.bytes.length, crc32c: part.crc32c })),
    );
  }

  sign(parts: { partNumber: number; crc32c: string }[]) {
    this.signed.push(parts.map((part) => part.partNumber));
    return Promise.resolve(
      parts.map(({ partNumber, crc32c }) => ({ partNumber, headers: { "x-amz-checksum-crc32c": crc32c } })),
    );
  }

  async put(
    part: { partNumber?: number; headers?: Record<string, string> },
    body: Blob,
    onSent: (bytes: number) => void,
    signal: AbortSignal,
  ) {
    const number = part.partNumber ?? 0;
    this.puts.push(number);
    this.mostInFlight = Math.max(this.mostInFlight, ++this.inFlight);
    try {
      onSent(body.size / 2);
      await new Promise((resolve) => setTimeout(resolve, 10));
      signal.throwIfAborted();
      const failure = this.failures.get(number)?.shift();
      if (failure !== undefined) {
        throw failure;
      }
      const bytes = new Uint8Array(await body.arrayBuffer());
      const checksum = toBase64(crc32c(bytes));
      if (part.headers?.["x-amz-checksum-crc32c"] !== checksum) {
        throw new PutError(400, "BadDigest", "checksum");
      }
      this.parts.set(number, { crc32c: checksum, bytes });
    } finally {
      this.inFlight--;
    }
  }

  get content(): number[] {
    return [...this.parts].sort(([a], [b]) => a - b).flatMap(([, part]) => [...part.bytes]);
  }
}

const content = Array.from({ length: 1050 }, (_, index) => (index * 7) & 0xff);
const file = new Blob([Uint8Array.from(content)]);
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

/** Runs a transfer in parts of 100 bytes to its end, waits included. */
async function run(bucket: Bucket, signal = new AbortController().signal): Promise<Progress[]> {
  const seen: Progress[] = [];
  const done = transfer(file, 100, bucket, (progress) => seen.push(progress), signal);
  done.catch(() => undefined);
  await vi.runAllTimersAsync();
  await done;
  return seen;
}

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

describe("cut", () => {
  it.each([
    [1050, 100, 11, 1000, 1050],
    [1000, 100, 10, 900, 1000],
    [1, 100, 1, 0, 1],
  ])("%d bytes by %d gives %d parts", (size, partSize, parts, lastStart, lastEnd) => {
    const pieces = cut(size, partSize);
    expect(pieces.map((piece) => piece.number)).toEqual(numbers(1, parts));
    expect(pieces.at(-1)).toEqual({ number: parts, start: lastStart, end: lastEnd });
  });
});

describe("a transfer", () => {
  it("brings every byte once, four parts at a time, signed together", async () => {
    const bucket = new Bucket();
    const seen = await run(bucket);
    expect(bucket.content).toEqual(content);
    expect(bucket.puts.toSorted((a, b) => a - b)).toEqual(numbers(1, 11));
    expect(bucket.mostInFlight).toBe(4);
    expect(bucket.signed).toEqual([numbers(1, 11)]);
    expect(seen.at(-1)).toEqual({ sentBytes: 1050, foundBytes: 0 });
    expect(Math.max(...seen.map((progress) => progress.sentBytes))).toBe(1050);
  });

  it("resumes: sends what is missing and what differs, and no more", async () => {
    const bucket = new Bucket();
    await run(bucket);
    bucket.puts.length = 0;
    bucket.parts.delete(3);
    bucket.parts.set(5, { crc32c: "AAAAAA==", bytes: new Uint8Array(100) });
    const seen = await run(bucket);
    expect(bucket.puts).toEqual([3, 5]);
    expect(bucket.content).toEqual(content);
    expect(seen.at(-1)).toEqual({ sentBytes: 1050, foundBytes: 850 });
  });

  it("has nothing to do when S3 has everything", async () => {
    const bucket = new Bucket();
    await run(bucket);
    bucket.puts.length = 0;
    await run(bucket);
    expect(bucket.puts).toEqual([]);
  });

  it.each([
    ["no answer", new PutError(0, "", "")],
    ["SlowDown", new PutError(503, "SlowDown", "")],
    ["an expired signature", new PutError(403, "AccessDenied", "")],
  ])("signs a part again and repeats it after %s", async (_, failure) => {
    const bucket = new Bucket();
    bucket.failures.set(2, [failure, failure]);
    await run(bucket);
    expect(bucket.content).toEqual(content);
    expect(bucket.puts.filter((number) => number === 2)).toHaveLength(3);
    expect(bucket.signed.slice(1)).toEqual([[2], [2]]);
  });

  it("ends all lanes at the first refusal", async () => {
    const bucket = new Bucket();
    const refusal = new PutError(404, "NoSuchUpload", "gone");
    bucket.failures.set(1, [refusal]);
    await expect(run(bucket)).rejects.toBe(refusal);
    expect(bucket.puts.length).toBeLessThanOrEqual(8);
    expect(bucket.inFlight).toBe(0);
  });

  it("gives a part up in the end", async () => {
    const bucket = new Bucket();
    bucket.failures.set(1, Array.from({ length: 99 }, () => new PutError(500, "InternalError", "")));
    await expect(run(bucket)).rejects.toThrow(PutError);
    expect(bucket.puts.filter((number) => number === 1)).toHaveLength(9);
  });

  it("stops when it is told to, and goes on from there", async () => {
    const bucket = new Bucket();
    const stop = new AbortController();
    setTimeout(() => stop.abort(new Error("paused")), 15);
    await expect(run(bucket, stop.signal)).rejects.toThrow("paused");
    const brought = bucket.parts.size;
    expect(brought).toBe(4);
    await run(bucket);
    expect(bucket.content).toEqual(content);
  });
});
