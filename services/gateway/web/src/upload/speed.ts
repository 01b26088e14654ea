/** Measures the rate of a growing number over the last seconds. */
export class Speed {
  private samples: { time: number; bytes: number }[] = [];
  private readonly window: number;

  /** The window is in milliseconds. */
  constructor(window = 10_000) {
    this.window = window;
  }

  /** Notes that `bytes` were done at `time` (milliseconds, any origin). */
  note(bytes: number, time: number): void {
    const last = this.samples.at(-1);
    if (last !== undefined && bytes < last.bytes) {
      // A part is sent again: what was counted for it is taken back, so measuring begins anew.
      this.samples = [];
    }
    this.samples.push({ time, bytes });
    while (this.samples.length > 2 && time - (this.samples[0]?.time ?? time) > this.window) {
      this.samples.shift();
    }
  }

  /** Bytes a second; undefined until there is something to tell by. */
  get bytesPerSecond(): number | undefined {
    const first = this.samples[0];
    const last = this.samples.at(-1);
    if (first === undefined || last === undefined || last.time - first.time < 500 || last.bytes <= first.bytes) {
      return undefined;
    }
    return ((last.bytes - first.bytes) * 1000) / (last.time - first.time);
  }
}
