import { Text } from "@mantine/core";
import { useLayoutEffect, useRef } from "react";

import { useJobLog } from "../api/queries";
import type { TrainingJob } from "../api/types";
import { count, printable } from "../ui/format";
import { Loaded } from "../ui/outcome";

/** The end of a job's log. It follows what is printed unless the user has scrolled up to read. */
export function JobLog({ job }: { job: TrainingJob }) {
  const log = useJobLog(job.name ?? "");
  const box = useRef<HTMLPreElement>(null);
  const atEnd = useRef(true);
  const lines = log.data?.lines;
  useLayoutEffect(() => {
    if (box.current !== null && atEnd.current) {
      box.current.scrollTop = box.current.scrollHeight;
    }
  }, [lines]);
  return (
    <Loaded query={log} what="the log">
      {(data) =>
        data.lines.length === 0 ? (
          <Text c="dimmed">Nothing was printed yet.</Text>
        ) : (
          <>
            {data.dropped > 0 && (
              <Text size="sm" c="dimmed">
                {count(data.dropped)} earlier lines are not shown.
              </Text>
            )}
            <pre
              ref={box}
              className="log"
              role="log"
              aria-label="Log"
              tabIndex={0}
              onScroll={({ currentTarget: at }) => {
                atEnd.current = at.scrollHeight - at.scrollTop - at.clientHeight < 8;
              }}
            >
              {data.lines.map((line) => printable(line.message)).join("\n")}
            </pre>
          </>
        )
      }
    </Loaded>
  );
}
