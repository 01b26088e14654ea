import { useSyncExternalStore } from "react";

// Signed in until the API answers 401: on loopback the server sets the cookie with the page itself.
let signedIn = true;
const listeners = new Set<() => void>();

export function setSignedIn(value: boolean): void {
  if (signedIn !== value) {
    signedIn = value;
    listeners.forEach((listener) => listener());
  }
}

/** Whether the API takes our credentials, as far as we know. */
export function useSignedIn(): boolean {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => signedIn,
  );
}
