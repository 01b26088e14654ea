import { Anchor, Text } from "@mantine/core";
import { Link, Navigate, NavLink, Route, Routes } from "react-router";

import { useSignedIn } from "./api/session";
import { BaseDatasetsPage } from "./basedatasets/base-datasets-page";
import { DatasetPage } from "./datasets/dataset-page";
import { DatasetsPage } from "./datasets/datasets-page";
import { FormatsPage } from "./datasets/formats-page";
import { VersionPage } from "./datasets/version-page";
import { useLive } from "./live/context";
import { LiveProvider } from "./live/provider";
import { ModelPage } from "./models/model-page";
import { ModelsPage } from "./models/models-page";
import { SignIn } from "./sign-in";
import { SweepPage } from "./sweeps/sweep-page";
import { SweepsPage } from "./sweeps/sweeps-page";
import { JobPage } from "./training/job-page";
import { JobsPage } from "./training/jobs-page";
import { NewJobPage } from "./training/new-job-page";
import { printable } from "./ui/format";
import { Page } from "./ui/page";
import { useUploads } from "./upload/context";
import { useUploadList } from "./upload/uploads";

export function App() {
  const signedIn = useSignedIn();
  if (!signedIn) {
    return <SignIn />;
  }
  return (
    <LiveProvider>
      <a className="skip" href="#main">
        Skip to content
      </a>
      <header className="header">
        <div className="wide">
          <Link className="brand" to="/datasets">
            <img src="/favicon.svg" width={24} height={24} alt="" />
            Trainyard
          </Link>
          <nav className="nav" aria-label="Main">
            <NavLink to="/datasets">Datasets</NavLink>
            <NavLink to="/base-datasets">Base datasets</NavLink>
            <NavLink to="/training">Training</NavLink>
            <NavLink to="/sweeps">Sweeps</NavLink>
            <NavLink to="/models">Models</NavLink>
          </nav>
          <UploadsUnderWay />
          <Connection />
        </div>
      </header>
      <main id="main" className="wide main">
        <Routes>
          <Route path="/" element={<Navigate to="/datasets" replace />} />
          <Route path="/datasets" element={<DatasetsPage />} />
          <Route path="/datasets/:dataset" element={<DatasetPage />} />
          <Route path="/datasets/:dataset/versions/:version" element={<VersionPage />} />
          <Route path="/formats" element={<FormatsPage />} />
          <Route path="/base-datasets" element={<BaseDatasetsPage />} />
          <Route path="/training" element={<JobsPage />} />
          <Route path="/training/new" element={<NewJobPage />} />
          <Route path="/training/:job" element={<JobPage />} />
          <Route path="/sweeps" element={<SweepsPage />} />
          <Route path="/sweeps/:sweep" element={<SweepPage />} />
          <Route path="/models" element={<ModelsPage />} />
          <Route path="/models/:model" element={<ModelPage />} />
          <Route path="*" element={<NotFound />} />
        </Routes>
      </main>
    </LiveProvider>
  );
}

const connectionText = {
  connecting: "Connecting…",
  live: "Live",
  waiting: "Reconnecting…",
};

/** Tells whether what is shown follows by itself. */
function Connection() {
  const state = useLive();
  return (
    <Text size="sm" c="dimmed" role="status" aria-label="Live updates">
      <span className="dot" data-state={state} /> {connectionText[state]}
    </Text>
  );
}

/** Leads back to the uploads under way, from wherever the user is. */
function UploadsUnderWay() {
  const list = [...useUploadList(useUploads()).values()];
  return list.map(({ version, file, phase, sentBytes }) => (
    <Anchor key={version} component={Link} to={`/${version}`} size="sm">
      {phase === "sending" || phase === "completing" ? "Uploading" : "Upload"} {printable(file.name)}:{" "}
      {phase === "failed" ? "stopped" : phase === "paused" ? "paused" : `${Math.floor((sentBytes / file.size) * 100)} %`}
    </Anchor>
  ));
}

function NotFound() {
  return (
    <Page title="No such page">
      <Text>
        Go to your{" "}
        <Anchor component={Link} to="/datasets">
          datasets
        </Anchor>
        .
      </Text>
    </Page>
  );
}
