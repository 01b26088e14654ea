import { useSearchParams } from "react-router";

import { useBaseDatasets, useDatasets, useRecipes } from "../api/queries";
import { Loaded } from "../ui/outcome";
import { Page } from "../ui/page";
import { JobForm } from "./job-form";

export function NewJobPage() {
  const [search] = useSearchParams();
  const recipes = useRecipes();
  const datasets = useDatasets();
  const baseDatasets = useBaseDatasets();
  return (
    <Page title={search.has("sweep") ? "New sweep" : "New training job"}>
      <Loaded query={recipes} what="the recipes">
        {(recipeList) => (
          <Loaded query={datasets} what="your datasets">
            {(datasetList) => (
              <Loaded query={baseDatasets} what="the base datasets">
                {(baseList) => (
                  <JobForm
                    recipes={recipeList}
                    datasets={datasetList}
                    baseDatasets={baseList}
                    version={search.get("version") ?? ""}
                    sweep={search.has("sweep")}
                  />
                )}
              </Loaded>
            )}
          </Loaded>
        )}
      </Loaded>
    </Page>
  );
}
