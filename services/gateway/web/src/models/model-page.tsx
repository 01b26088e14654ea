import { Anchor, Button, Code } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link, useParams } from "react-router";

import { answer, api } from "../api/client";
import { idOf } from "../api/names";
import { useModel } from "../api/queries";
import type { Model } from "../api/types";
import { Metrics, Parameters } from "../training/values";
import { bytes, printable, time } from "../ui/format";
import { ErrorNote, Loaded } from "../ui/outcome";
import { Card, Facts, Page } from "../ui/page";
import { ConfusionMatrix, PerClass } from "./evaluation";
import { evaluationOf } from "./evaluation-json";

export function ModelPage() {
  const { model: id = "" } = useParams();
  const model = useModel(`models/${id}`);
  return (
    <Page title={`Model ${id}`} actions={model.data && <Download model={model.data} />}>
      <Loaded query={model} what="this model">
        {(data) => <Body model={data} />}
      </Loaded>
    </Page>
  );
}

function Body({ model }: { model: Model }) {
  const evaluation = evaluationOf(model.evaluation, model.labels ?? []);
  return (
    <>
      {evaluation && (
        <Card title="Confusion matrix">
          <ConfusionMatrix evaluation={evaluation} />
        </Card>
      )}
      <div className="columns">
        {evaluation && evaluation.perClass.length > 0 && (
          <Card title="By class">
            <PerClass evaluation={evaluation} />
          </Card>
        )}
        <Card title="Metrics">
          <Metrics values={model.metrics ?? {}} />
        </Card>
        <Card title="What it was made of">
          <Facts facts={lineageOf(model)} />
        </Card>
        <Card title="The file">
          <Facts
            facts={[
              ["Name", <Code>model.tar.gz</Code>],
              ["Size", bytes(model.sizeBytes)],
              ["SHA-256", <Code>{model.sha256}</Code>],
              ["Place", <Code>{model.artifactUri}</Code>],
              ["Made", time(model.createTime)],
              ["Labels", <span className="name">{(model.labels ?? []).map(printable).join(", ")}</span>],
            ]}
          />
        </Card>
      </div>
    </>
  );
}

/** Has a URL signed and goes there; the browser saves what comes. */
function Download({ model }: { model: Model }) {
  const download = useMutation({
    mutationFn: () =>
      answer(api.GET("/v1/models/{name}:download", { params: { path: { name: idOf(model.name) } } })),
    onSuccess: ({ url = "" }) => {
      if (!/^https?:\/\//.test(url)) {
        throw new Error("The server gave an address that is no web address.");
      }
      window.location.assign(url);
    },
  });
  return (
    <>
      <Button onClick={() => download.mutate()} loading={download.isPending}>
        Download, {bytes(model.sizeBytes)}
      </Button>
      {download.error && <ErrorNote title="The model can't be downloaded" error={download.error} />}
    </>
  );
}

function lineageOf(model: Model): [string, ReactNode][] {
  const lineage = model.lineage ?? {};
  return [
    [
      "Training job",
      <Anchor component={Link} to={`/training/${idOf(model.trainingJob)}`} inherit>
        {idOf(model.trainingJob)}
      </Anchor>,
    ],
    ["Recipe", idOf(lineage.recipe)],
    [
      "Dataset version",
      <Anchor component={Link} to={`/${lineage.datasetVersion ?? ""}`} inherit>
        {lineage.datasetVersion}
      </Anchor>,
    ],
    ["Manifest SHA-256", <Code>{lineage.manifestSha256}</Code>],
    ["Base datasets", (lineage.baseDatasets ?? []).map(idOf).join(", ") || "none"],
    ["Parameters", <Parameters values={lineage.parameters ?? {}} />],
    ["Image", <Code>{lineage.image}</Code>],
  ];
}
