import { backoff, retrying, sleep } from "../api/retry";
import type { SignedPart } from "../api/types";
import { PutError } from "./put";

/** A piece of the file; numbers count from 1, `end` is exclusive. */
export interface Piece {
  number: number;
  start: number;
  end: number;
}

export interface StoredPart {
  number: number;
  sizeBytes: number;
  crc32c: string;
}

/** What a transfer needs of the world. */
export interface Transport {
  crc32c: (body: Blob) => Promise<string>;
  listParts: (signal: AbortSignal) => Promise<StoredPart[]>;
  sign: (parts: { partNumber: number; crc32c: string }[], signal: AbortSignal) => Promise<SignedPart[]>;
  put: (part: SignedPart, body: Blob, onSent: (bytes: number) => void, signal: AbortSignal) => Promise<void>;
}

export interface Progress {
  /** Bytes that S3 has, or that are on their way. */
  sentBytes: number;
  /** Bytes that S3 had before this transfer began. */
  foundBytes: number;
}

// S3 takes parts in any order; more lanes than this gain nothing on one client's line.
const lanes = 4;
// Parts are hashed and signed ahead up to this many bytes (one part at least) …
const batchBytes = 64 << 20;
// … and this many parts, which is the most that one call signs.
const batchParts = 100;
const putRetries = 8;

export function cut(size: number, partSize: number): Piece[] {
  const pieces: Piece[] = [];
  for (let start = 0; start < size; start += partSize) {
    pieces.push({ number: pieces.length + 1, start, end: Math.min(size, start + partSize) });
  }
  return pieces;
}

interface Ready {
  piece: Piece;
  crc32c: string;
  signed: SignedPart;
}

/**
 * Brings every part of a file that S3 doesn't have yet to S3. Parts that S3 has are compared by checksum
 * and left alone, so that calling this again with the same file resumes. Returns when S3 has all parts;
 * throws on the first part that can't be brought, or the signal's reason.
 */
export async function transfer(
  file: Blob,
  partSize: number,
  transport: Transport,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<void> {
  // The first failure ends the other lanes.
  const failure = new AbortController();
  const stop = AbortSignal.any([signal, failure.signal]);

  const stored = new Map(
    (await retrying(() => transport.listParts(stop), stop)).map((part) => [part.number, part]),
  );
  const todo = cut(file.size, partSize);
  let doneBytes = 0;
  let foundBytes = 0;
  const underWay = new Map<number, number>();
  const report = () => {
    let sentBytes = doneBytes;
    underWay.forEach((bytes) => (sentBytes += bytes));
    onProgress({ sentBytes, foundBytes });
  };
  report();

  let ready: Ready[] = [];
  let filling: Promise<void> | undefined;

  async function fill(): Promise<void> {
    const batch: { piece: Piece; crc32c: string }[] = [];
    let bytes = 0;
    while (bytes < batchBytes && batch.length < batchParts) {
      const piece = todo.shift();
      if (piece === undefined) {
        break;
      }
      const size = piece.end - piece.start;
      const crc32c = await transport.crc32c(file.slice(piece.start, piece.end));
      stop.throwIfAborted();
      const there = stored.get(piece.number);
      if (there?.crc32c === crc32c && there.sizeBytes === size) {
        doneBytes += size;
        foundBytes += size;
        report();
        continue;
      }
      batch.push({ piece, crc32c });
      bytes += size;
    }
    if (batch.length > 0) {
      const signed = await sign(batch);
      ready = batch.flatMap((part, index) => {
        const one = signed[index];
        return one ? [{ ...part, signed: one }] : [];
      });
    }
  }

  async function sign(parts: { piece: Piece; crc32c: string }[]): Promise<SignedPart[]> {
    const asked = parts.map(({ piece, crc32c }) => ({ partNumber: piece.number, crc32c }));
    const signed = await retrying(() => transport.sign(asked, stop), stop);
    if (signed.length !== asked.length) {
      throw new Error(`The server signed ${signed.length} parts of ${asked.length}. Try again.`);
    }
    return signed;
  }

  /** The next part to send. One lane at a time hashes and signs; those that come meanwhile wait for it. */
  async function next(): Promise<Ready | undefined> {
    for (;;) {
      const part = ready.shift();
      if (part !== undefined) {
        return part;
      }
      if (filling === undefined) {
        if (todo.length === 0) {
          return undefined;
        }
        filling = fill().finally(() => (filling = undefined));
      }
      await filling;
    }
  }

  async function send(part: Ready): Promise<void> {
    const { number, start, end } = part.piece;
    for (let retry = 0; ; retry++) {
      try {
        const signed = retry === 0 ? part.signed : (await sign([part]))[0];
        await transport.put(
          signed ?? part.signed,
          file.slice(start, end),
          (bytes) => {
            underWay.set(number, Math.min(bytes, end - start));
            report();
          },
          stop,
        );
        doneBytes += end - start;
        return;
      } catch (error) {
        if (stop.aborted || retry >= putRetries || !(error instanceof PutError && error.transient)) {
          throw error;
        }
        underWay.delete(number);
        report();
        await sleep(backoff(retry), stop);
      } finally {
        underWay.delete(number);
        report();
      }
    }
  }

  async function lane(): Promise<void> {
    for (let part = await next(); part !== undefined; part = await next()) {
      await send(part);
    }
  }

  const outcomes = await Promise.allSettled(
    Array.from({ length: lanes }, () =>
      lane().catch((error: unknown) => {
        // allSettled waits for all lanes; this makes them end now, with the first lane's error.
        failure.abort(error);
        throw error;
      }),
    ),
  );
  if (outcomes.some((outcome) => outcome.status === "rejected")) {
    throw stop.reason as Error;
  }
}
