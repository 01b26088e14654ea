import { crc32c, toBase64 } from "./crc32c";

export interface HashRequest {
  id: number;
  body: Blob;
}

export type HashReply = { id: number; crc32c: string } | { id: number; error: string };

// Read in pieces, so that a large part is never in memory whole.
const piece = 4 << 20;

async function hash(body: Blob): Promise<string> {
  let crc = 0;
  for (let at = 0; at < body.size; at += piece) {
    crc = crc32c(new Uint8Array(await body.slice(at, at + piece).arrayBuffer()), crc);
  }
  return toBase64(crc);
}

self.onmessage = ({ data }: MessageEvent<HashRequest>) => {
  hash(data.body).then(
    (crc32c) => self.postMessage({ id: data.id, crc32c } satisfies HashReply),
    (error: unknown) => self.postMessage({ id: data.id, error: String(error) } satisfies HashReply),
  );
};
