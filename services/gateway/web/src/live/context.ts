import { createContext, useContext } from "react";

import type { StreamState } from "./stream";

export const LiveContext = createContext<StreamState>("connecting");

/** Whether events arrive. */
export function useLive(): StreamState {
  return useContext(LiveContext);
}

/** A refetch interval in milliseconds while no events arrive; none while they do. */
export function usePollWhileOffline(): number | false {
  return useLive() === "waiting" ? 5000 : false;
}
