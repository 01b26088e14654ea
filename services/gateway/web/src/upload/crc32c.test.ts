import { describe, expect, it } from "vitest";

import { crc32c, toBase64 } from "./crc32c";

const text = (value: string) => new TextEncoder().encode(value);

describe("crc32c", () => {
  // The vectors of RFC 3720, appendix B.4, and the usual check value.
  it.each([
    ["nothing", new Uint8Array(), 0],
    ["123456789", text("123456789"), 0xe3069283],
    ["32 zeros", new Uint8Array(32), 0x8a9136aa],
    ["32 ones", new Uint8Array(32).fill(0xff), 0x62a8ab43],
    ["0 to 31", Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
    ["31 to 0", Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
  ])("of %s", (_, bytes, want) => {
    expect(crc32c(bytes)).toBe(want);
  });

  it("is the same however the bytes are cut", () => {
    const bytes = Uint8Array.from({ length: 1000 }, (_, i) => (i * 131) & 0xff);
    const whole = crc32c(bytes);
    for (const cut of [1, 7, 8, 9, 500, 999]) {
      expect(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut)))).toBe(whole);
    }
  });

  it("is written as S3 does", () => {
    expect(toBase64(0xe3069283)).toBe("4waSgw==");
    expect(toBase64(0)).toBe("AAAAAA==");
  });
});
