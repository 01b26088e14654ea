import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useEffect, useState } from "react";

import { answer, api } from "../api/client";
import { ApiError } from "../api/errors";
import { setSignedIn } from "../api/session";
import { applyEvent, eventTypes } from "./cache";
import { LiveContext } from "./context";
import { EventStream, type Probe, type StreamState } from "./stream";

/** Keeps the query cache up to date from the event stream while it is mounted. */
export function LiveProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [state, setState] = useState<StreamState>("connecting");

  useEffect(() => {
    const stream = new EventStream({
      open: (cursor) => new EventSource(`/v1/events:watch?cursor=${encodeURIComponent(cursor)}`),
      probe,
      types: eventTypes,
      onEvent: (event) => applyEvent(client, event),
      onState: setState,
      // A fetch under way may have been answered before the stream began: it is given up, too.
      onGap: () => void client.cancelQueries().then(() => client.invalidateQueries()),
      onSignedOut: () => setSignedIn(false),
    });
    stream.start();
    return () => stream.stop();
  }, [client]);

  return <LiveContext value={state}>{children}</LiveContext>;
}

async function probe(cursor: string): Promise<Probe> {
  try {
    // ListEvents has no `latest`.
    const query = cursor === "latest" ? { pageSize: 1 } : { pageSize: 1, cursor };
    await answer(api.GET("/v1/events", { params: { query } }));
    return "ok";
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) {
      return "signed-out";
    }
    return error instanceof ApiError && error.status === 400 ? "cursor-refused" : "unreachable";
  }
}
