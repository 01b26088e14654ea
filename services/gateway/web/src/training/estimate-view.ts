import type { Estimate } from "../api/types";
import { modeNames, storageNames } from "../ui/words";

export function isPossible({ impossible = "" }: Estimate): boolean {
  return impossible === "";
}

/** Why ways of reading the data can't be, a sentence for each mode and reason: `Pipe on S3, EFS: the program doesn't read it.` */
export function impossibleWays(estimates: readonly Estimate[]): string[] {
  const places = new Map<string, string[]>();
  for (const { inputMode = "INPUT_MODE_UNSPECIFIED", baseStorage = "STORAGE_UNSPECIFIED", impossible = "" } of estimates) {
    if (impossible !== "") {
      const key = JSON.stringify([modeNames[inputMode], impossible]);
      const storage = storageNames[baseStorage];
      places.set(key, [...(places.get(key) ?? []), ...(storage === "" ? [] : [storage])]);
    }
  }
  return [...places].map(([key, storages]) => {
    const [mode = "", why = ""] = JSON.parse(key) as string[];
    return `${mode}${storages.length > 0 ? ` with the base on ${storages.join(", ")}` : ""}: ${why}.`;
  });
}
