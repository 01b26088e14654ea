import type { ReactNode } from "react";

/** Lets something wide, such as a table, scroll by itself, by keyboard too. What holds links needs only `.scroll`. */
export function Scroll({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div className="scroll" tabIndex={0} role="group" aria-label={`${label}, scrollable`}>
      {children}
    </div>
  );
}
