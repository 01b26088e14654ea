/** The last segment of a resource name: `digits` of `datasets/digits`. */
export function idOf(name: string | undefined): string {
  return (name ?? "").split("/").at(-1) ?? "";
}

/** `datasets/digits` of `datasets/digits/versions/1`. */
export function datasetOf(versionName: string): string {
  return versionName.split("/").slice(0, 2).join("/");
}

/** A dataset id made of a file's name: `My Digits (2).tar.gz` becomes `my-digits-2`. Empty when nothing is left. */
export function datasetIdFor(fileName: string): string {
  return fileName
    .toLowerCase()
    .replace(/\.[a-z0-9]{1,4}(\.(gz|zst|bz2))?$/, "")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^[^a-z]+/, "")
    .slice(0, 63)
    .replace(/-+$/, "");
}

/** What the API takes as a dataset id. */
export const datasetIdPattern = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** A UUID for request_id fields. crypto.randomUUID exists only where the page came by HTTPS or from loopback. */
export function newRequestId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const hex = Array.from(bytes, (byte, index) => {
    // Version 4, variant 1.
    const value = index === 6 ? (byte & 0x0f) | 0x40 : index === 8 ? (byte & 0x3f) | 0x80 : byte;
    return value.toString(16).padStart(2, "0");
  }).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
