import { Button } from "@mantine/core";
import { type ReactNode, useState } from "react";

import { count } from "./format";

/** Shows the first of many, and more of them on request. */
export function ShowMore({ total, first, step, what, children }: {
  total: number;
  /** How many to begin with. */
  first: number;
  /** How many more at a time. */
  step: number;
  /** What they are, in the plural. */
  what: string;
  children: (shown: number) => ReactNode;
}) {
  const [shown, setShown] = useState(first);
  const next = Math.min(step, total - shown);
  return (
    <>
      {children(Math.min(shown, total))}
      {next > 0 && (
        <Button size="compact-sm" variant="default" mt="xs" onClick={() => setShown(shown + step)}>
          Show {count(next)} more {what} of {count(total)}
        </Button>
      )}
    </>
  );
}
