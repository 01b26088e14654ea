import "@mantine/core/styles.css";
import "./app.css";

import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { BrowserRouter } from "react-router";

import { isTransient } from "./api/errors";
import { App } from "./app";
import { UploadsContext } from "./upload/context";
import { Uploads } from "./upload/uploads";

const client = new QueryClient({
  defaultOptions: {
    queries: {
      // Events keep what is shown fresh; see live/.
      staleTime: 30_000,
      refetchOnWindowFocus: false,
      retry: (failures, error) => failures < 3 && isTransient(error),
    },
  },
});
const uploads = new Uploads(client);

// A file that is dropped beside the drop zone would replace this page, and end its uploads.
for (const type of ["dragover", "drop"]) {
  window.addEventListener(type, (event) => event.preventDefault());
}

const root = document.getElementById("root");
if (root === null) {
  throw new Error("index.html has no #root");
}
createRoot(root).render(
  <StrictMode>
    {/* All styles come from style sheets: the gateway's Content-Security-Policy refuses <style> elements. */}
    <MantineProvider
      defaultColorScheme="auto"
      theme={{ primaryColor: "cyan", fontFamily: "system-ui, sans-serif" }}
      withCssVariables={false}
      withGlobalClasses={false}
    >
      <QueryClientProvider client={client}>
        <UploadsContext value={uploads}>
          <BrowserRouter>
            <App />
          </BrowserRouter>
        </UploadsContext>
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
);
