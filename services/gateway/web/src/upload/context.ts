import { createContext, useContext } from "react";

import type { Uploads } from "./uploads";

export const UploadsContext = createContext<Uploads | undefined>(undefined);

/** The uploads of this page. */
export function useUploads(): Uploads {
  const uploads = useContext(UploadsContext);
  if (uploads === undefined) {
    throw new Error("UploadsContext is missing above this component");
  }
  return uploads;
}
