import type { Box, Example, Feature, Image } from "../api/types";
import { bytes, count, duration, metric } from "../ui/format";

/** What of an example stands under its picture or in a row of a table. */
export function textOf(feature: Feature): string {
  const { audio, blobs, boxes, floats, image, ints, labels, texts } = feature;
  if (audio) {
    const channels = audio.channels === 1 ? "mono" : audio.channels === 2 ? "stereo" : `${audio.channels ?? 0} channels`;
    const rate = (audio.sampleRate ?? 0) > 0 ? `${duration(audio.seconds ?? 0)}, ${metric((audio.sampleRate ?? 0) / 1000)} kHz, ` : "";
    return rate + channels;
  }
  if (image) {
    return `${image.width ?? 0} × ${image.height ?? 0} ${(image.encoding ?? "").toUpperCase()}, ${bytes(image.sizeBytes)}`;
  }
  if (boxes) {
    return list((boxes.boxes ?? []).map((box) => orElse(box.class, "box")), feature);
  }
  if (labels) {
    return list((labels.values ?? []).map((value, index) => orElse(labels.names?.[index], value)), feature);
  }
  if (texts) {
    const sizes = texts.sizes ?? [];
    return list((texts.values ?? []).map((text, index) => (isCut(text, sizes[index]) ? `${text}…` : text)), feature);
  }
  if (blobs) {
    return list((blobs.sizes ?? []).map(bytes), feature);
  }
  return list(ints?.values ?? (floats?.values ?? []).map((value) => metric(Number(value))), feature);
}

/** A text, or another where it is empty. */
export function orElse(text: string | undefined, other: string): string {
  return text === undefined || text === "" ? other : text;
}

function isCut(text: string, size: string | undefined): boolean {
  return new TextEncoder().encode(text).length < Number(size ?? 0);
}

function list(values: string[], feature: Feature): string {
  const more = Number(feature.valueCount ?? 0) - values.length;
  return values.join(", ") + (more > 0 ? ` … (${count(more)} more)` : "");
}

/** The example's picture, and the boxes in it. Of several pictures the first. */
export function pictureOf(example: Example): { image: Image; boxes: Box[] } | undefined {
  const features = example.features ?? [];
  const image = features.find((feature) => feature.image)?.image;
  return image && { image, boxes: features.flatMap((feature) => feature.boxes?.boxes ?? []) };
}

/** Width by height of a picture as it is shown, which is upright. */
export function ratioOf({ width = 0, height = 0, orientation = 1 }: Image): number {
  const ratio = width > 0 && height > 0 ? width / height : 1;
  return orientation >= 5 ? 1 / ratio : ratio;
}

/** A rectangle in shares of a picture's width and height. */
export interface Rectangle {
  x: number;
  y: number;
  width: number;
  height: number;
}

/**
 * Where a box lies in the upright picture, and within it: boxes are of the picture as it is stored. The orientations are EXIF's.
 * A box without a place, or without any extent, is none.
 */
export function upright(box: Box, orientation = 1): Rectangle | undefined {
  const corners = [turned(share(box.xmin), share(box.ymin), orientation), turned(share(box.xmax), share(box.ymax), orientation)];
  const xs = corners.map(([x]) => x);
  const ys = corners.map(([, y]) => y);
  const [x, y] = [Math.min(...xs), Math.min(...ys)];
  const [width, height] = [Math.max(...xs) - x, Math.max(...ys) - y];
  return width > 0 && height > 0 ? { x, y, width, height } : undefined; // NaN isn't above 0 either.
}

function share(value: number | string | undefined): number {
  return Math.min(Math.max(Number(value ?? 0), 0), 1);
}

function turned(x: number, y: number, orientation: number): [number, number] {
  switch (orientation) {
    case 2:
      return [1 - x, y];
    case 3:
      return [1 - x, 1 - y];
    case 4:
      return [x, 1 - y];
    case 5:
      return [y, x];
    case 6:
      return [1 - y, x];
    case 7:
      return [1 - y, 1 - x];
    case 8:
      return [y, 1 - x];
    default:
      return [x, y];
  }
}

/** The names of all features, in the order in which examples have them. */
export function columnsOf(examples: Example[]): string[] {
  return [...new Set(examples.flatMap((example) => (example.features ?? []).map((feature) => feature.name ?? "")))];
}

/** A hue of the colour circle for a class: the same wherever the class is shown. */
export function hueOf(name: string): number {
  let hash = 7;
  for (const character of name) {
    hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 360;
  }
  return hash;
}
