import { withoutNulls } from "../api/json";
import { backoff } from "../api/retry";
import type { Event } from "../api/types";

export type StreamState = "connecting" | "live" | "waiting";

/** Why a stream can't be opened, asked by plain HTTP because EventSource tells no status. */
export type Probe = "ok" | "signed-out" | "cursor-refused" | "unreachable";

export interface StreamOptions {
  /** Makes the browser's EventSource, which replays what came after the cursor and then follows. */
  open: (cursor: string) => EventSource;
  probe: (cursor: string) => Promise<Probe>;
  /** The event types to listen for. */
  types: readonly string[];
  onEvent: (event: Event) => void;
  onState: (state: StreamState) => void;
  /** Events may have passed unseen: what is shown must be fetched again. */
  onGap: () => void;
  onSignedOut: () => void;
}

// A reconnect that the browser does itself is given this long before we make a new EventSource.
const patience = 8000;
// A server that sends heartbeats has sent one by then, or the connection is dead.
const silence = 60_000;

/**
 * Follows the project's events for as long as the page lives. The browser reconnects a broken stream itself,
 * with Last-Event-ID, but gives up for good on an HTTP error such as a restarting server's 502: then this
 * class makes a new EventSource from the last cursor it saw.
 */
export class EventStream {
  private readonly options: StreamOptions;
  private source: EventSource | undefined;
  private cursor = "latest";
  private failures = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private stopped = false;

  constructor(options: StreamOptions) {
    this.options = options;
  }

  start(): void {
    this.options.onState("connecting");
    this.connect();
  }

  stop(): void {
    this.stopped = true;
    this.close();
  }

  private connect(): void {
    this.close();
    const source = this.options.open(this.cursor);
    this.source = source;
    source.addEventListener("open", () => {
      clearTimeout(this.timer);
      this.failures = 0;
      this.options.onState("live");
      if (this.cursor === "latest") {
        this.options.onGap();
      }
    });
    source.addEventListener("error", () => this.broken(source));
    for (const type of this.options.types) {
      source.addEventListener(type, (message) => {
        this.heard(message);
        this.options.onEvent(withoutNulls(JSON.parse(message.data as string) as Event));
      });
    }
    source.addEventListener("heartbeat", (message) => this.heard(message));
  }

  private heard(message: MessageEvent): void {
    if (message.lastEventId !== "") {
      this.cursor = message.lastEventId;
    }
    clearTimeout(this.timer);
    if (message.type === "heartbeat") {
      this.timer = setTimeout(() => this.retry(), silence);
    }
  }

  private broken(source: EventSource): void {
    if (source !== this.source) {
      return;
    }
    this.options.onState("waiting");
    clearTimeout(this.timer);
    if (source.readyState === EventSource.CLOSED) {
      this.retry();
    } else {
      this.timer = setTimeout(() => this.retry(), patience);
    }
  }

  private retry(): void {
    this.options.onState("waiting");
    this.close();
    this.timer = setTimeout(() => void this.probeAndConnect(), backoff(this.failures++));
  }

  private async probeAndConnect(): Promise<void> {
    const found = await this.options.probe(this.cursor);
    if (this.stopped) {
      return;
    }
    switch (found) {
      case "signed-out":
        this.options.onSignedOut();
        return;
      case "unreachable":
        this.retry();
        return;
      case "cursor-refused":
        this.cursor = "latest";
        break;
      case "ok":
        break;
    }
    this.connect();
  }

  private close(): void {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = undefined;
  }
}
