import type { HashReply, HashRequest } from "./crc32c.worker";

/** Computes CRCs in a worker, so that the page stays quick while gigabytes are read. */
export class Hasher {
  private readonly worker = new Worker(new URL("./crc32c.worker.ts", import.meta.url), { type: "module" });
  private readonly waiting = new Map<number, { done: (crc32c: string) => void; failed: (error: Error) => void }>();
  private lastId = 0;

  constructor() {
    this.worker.onmessage = ({ data }: MessageEvent<HashReply>) => {
      const caller = this.waiting.get(data.id);
      this.waiting.delete(data.id);
      if ("crc32c" in data) {
        caller?.done(data.crc32c);
      } else {
        caller?.failed(
          new Error(`The file can't be read (${data.error}). It may have changed since: choose it again.`),
        );
      }
    };
    this.worker.onerror = (event) => this.failAll(`The checksum worker failed: ${event.message}. Reload the page.`);
  }

  /** The CRC-32C of a blob, in base64 as S3 writes it. */
  crc32c(body: Blob): Promise<string> {
    const id = ++this.lastId;
    return new Promise((done, failed) => {
      this.waiting.set(id, { done, failed });
      this.worker.postMessage({ id, body } satisfies HashRequest);
    });
  }

  close(): void {
    this.worker.terminate();
    this.failAll("The upload was stopped.");
  }

  private failAll(message: string): void {
    this.waiting.forEach(({ failed }) => failed(new Error(message)));
    this.waiting.clear();
  }
}
