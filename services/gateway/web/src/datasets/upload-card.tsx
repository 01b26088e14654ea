import { Button, Group, Progress, Stack, Text } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";

import type { Version } from "../api/types";
import { useUploads } from "../upload/context";
import { type Upload, useUploadList } from "../upload/uploads";
import { bytes, duration, printable, time } from "../ui/format";
import { ErrorNote } from "../ui/outcome";
import { Card } from "../ui/page";
import { ChooseFile } from "./file-drop";

/** An upload under way: by this page, or one that this page can take up again. */
export function UploadCard({ version }: { version: Version }) {
  const name = version.name ?? "";
  const uploads = useUploads();
  const upload = useUploadList(uploads).get(name);
  const resume = useMutation({ mutationFn: (file: File) => uploads.resume(name, file) });
  const cancel = useMutation({ mutationFn: () => uploads.cancel(name) });
  const running = upload?.phase === "sending" || upload?.phase === "completing";
  return (
    <Card title="Upload">
      <Stack gap="sm">
        {upload ? (
          <UploadProgress upload={upload} />
        ) : (
          <Text size="sm">
            This upload is not finished. Choose the same file (<b className="name">{printable(version.fileName)}</b>,{" "}
            {bytes(version.sizeBytes)}) to go on where it stopped
            {version.upload?.expireTime ? `, until ${time(version.upload.expireTime)}.` : "."}
          </Text>
        )}
        {upload?.phase === "failed" && <ErrorNote title="The upload stopped" error={new Error(upload.error)} />}
        {resume.error && <ErrorNote title="This upload did not go on" error={resume.error} />}
        {cancel.error && <ErrorNote title="The upload was not cancelled" error={cancel.error} />}
        <Group>
          {running && (
            <Button variant="default" onClick={() => uploads.pause(name)}>
              Pause
            </Button>
          )}
          {!running && upload && (
            <Button onClick={() => resume.mutate(upload.file)} loading={resume.isPending}>
              {upload.phase === "failed" ? "Try again" : "Go on"}
            </Button>
          )}
          {!upload && <ChooseFile label="Choose the same file" onFile={(file) => resume.mutate(file)} />}
          <Button variant="subtle" color="red" onClick={() => cancel.mutate()} loading={cancel.isPending}>
            Cancel upload
          </Button>
        </Group>
      </Stack>
    </Card>
  );
}

function UploadProgress({ upload }: { upload: Upload }) {
  const { sentBytes, bytesPerSecond, foundBytes, file, phase } = upload;
  const share = file.size === 0 ? 0 : (sentBytes / file.size) * 100;
  return (
    <>
      <Progress value={Math.floor(share)} aria-label="Upload progress" size="lg" />
      <Text size="sm">
        {bytes(sentBytes)} of {bytes(file.size)}
        {phase === "sending" &&
          bytesPerSecond !== undefined &&
          ` · ${bytes(bytesPerSecond)}/s · ${duration((file.size - sentBytes) / bytesPerSecond)} left`}
        {phase === "paused" && " · paused"}
        {phase === "completing" && " · putting the parts together"}
        {foundBytes > 0 && ` · ${bytes(foundBytes)} were there already`}
      </Text>
      {phase === "sending" && (
        <Text size="sm" c="dimmed">
          It goes on while you look at other pages here, as long as this tab is open.
        </Text>
      )}
    </>
  );
}
