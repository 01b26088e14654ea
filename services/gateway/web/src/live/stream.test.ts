import { afterEach, beforeEach, expect, it, vi } from "vitest";

import type { Event } from "../api/types";
import { EventStream, type Probe, type StreamState } from "./stream";

/** Stands in for the browser's EventSource; the test says what happens to it. */
class Source extends EventTarget {
  static readonly CLOSED = 2;
  readyState = 0;
  readonly cursor: string;

  constructor(cursor: string) {
    super();
    this.cursor = cursor;
  }

  open() {
    this.readyState = 1;
    this.dispatchEvent(new globalThis.Event("open"));
  }

  say(type: string, lastEventId: string, data: object = {}) {
    this.dispatchEvent(new MessageEvent(type, { lastEventId, data: JSON.stringify(data) }));
  }

  /** An error: the browser either reconnects by itself or has given up. */
  fail(givenUp: boolean) {
    this.readyState = givenUp ? 2 : 0;
    this.dispatchEvent(new globalThis.Event("error"));
  }

  close() {
    this.readyState = 2;
  }
}

let sources: Source[];
let states: StreamState[];
let events: Event[];
let gaps: number;
let signedOut: number;
let answers: Probe[];
let stream: EventStream;

const last = () => sources.at(-1) ?? expect.fail("nothing was opened");

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("EventSource", Source);
  [sources, states, events, gaps, signedOut, answers] = [[], [], [], 0, 0, []];
  stream = new EventStream({
    open: (cursor) => {
      const source = new Source(cursor);
      sources.push(source);
      return source as unknown as EventSource;
    },
    probe: () => Promise.resolve(answers.shift() ?? "ok"),
    types: ["version.state"],
    onEvent: (event) => events.push(event),
    onState: (state) => states.push(state),
    onGap: () => gaps++,
    onSignedOut: () => signedOut++,
  });
  stream.start();
});

afterEach(() => {
  stream.stop();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

it("begins with what comes from now on and has what is shown fetched", () => {
  expect(last().cursor).toBe("latest");
  last().open();
  expect(states).toEqual(["connecting", "live"]);
  expect(gaps).toBe(1);
  last().say("version.state", "c7", { sequence: "7", payload: { name: "v", error: null } });
  expect(events).toEqual([{ sequence: "7", payload: { name: "v" } }]);
});

it("leaves reconnecting to the browser while it does", async () => {
  last().open();
  last().say("version.state", "c7");
  last().fail(false);
  expect(states.at(-1)).toBe("waiting");
  last().open();
  await vi.runAllTimersAsync();
  expect(sources).toHaveLength(1);
  expect(states.at(-1)).toBe("live");
  expect(gaps).toBe(1);
});

it("goes on from the last cursor when the browser gives up", async () => {
  last().open();
  last().say("version.state", "c7");
  last().say("heartbeat", "c9");
  answers = ["unreachable", "unreachable", "ok"];
  last().fail(true);
  await vi.runAllTimersAsync();
  expect(sources).toHaveLength(2);
  expect(last().cursor).toBe("c9");
  last().open();
  expect(states.at(-1)).toBe("live");
  expect(gaps).toBe(1);
});

it("takes over when the browser's reconnecting takes too long", async () => {
  last().open();
  last().say("version.state", "c7");
  last().fail(false);
  await vi.runAllTimersAsync();
  expect(sources.map((source) => source.cursor)).toEqual(["latest", "c7"]);
  expect(sources[0]?.readyState).toBe(Source.CLOSED);
});

it("begins anew, and knows of the gap, when its cursor is refused", async () => {
  last().open();
  last().say("version.state", "c7");
  answers = ["cursor-refused"];
  last().fail(true);
  await vi.runAllTimersAsync();
  expect(last().cursor).toBe("latest");
  last().open();
  expect(gaps).toBe(2);
});

it("ends when the session has ended", async () => {
  answers = ["signed-out"];
  last().fail(true);
  await vi.runAllTimersAsync();
  expect(signedOut).toBe(1);
  expect(sources).toHaveLength(1);
});

it("takes a server that sends heartbeats for dead when they stop", async () => {
  last().open();
  last().say("heartbeat", "c7");
  await vi.runAllTimersAsync();
  expect(sources.map((source) => source.cursor)).toEqual(["latest", "c7"]);
});

it("opens nothing more once it is stopped", async () => {
  last().fail(true);
  stream.stop();
  await vi.runAllTimersAsync();
  expect(sources).toHaveLength(1);
});
