/** Round values that span the given ones, about `wanted` of them, in steps of 1, 2 or 5 times a power of ten. */
export function ticks(values: number[], wanted: number, smallestStep = 0): number[] {
  let low = Math.min(...values);
  let high = Math.max(...values);
  if (!Number.isFinite(low) || !Number.isFinite(high)) {
    return [0, 1];
  }
  if (low === high) {
    const room = Math.abs(low) / 2 || 1;
    low -= room;
    high += room;
  }
  const rough = Math.max(smallestStep, (high - low) / wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10) * power;
  const first = Math.floor(low / step);
  const last = Math.ceil(high / step);
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

/** What values a bin holds. Of whole numbers that are few, each has a bin of its own. */
export function binName(index: number, min: number, max: number, bins: number, text: (value: number) => string): string {
  if (bins === max - min + 1) {
    return text(min + index);
  }
  const edge = (at: number) => text(min + ((max - min) * at) / bins);
  return `${edge(index)} to ${edge(index + 1)}`;
}
