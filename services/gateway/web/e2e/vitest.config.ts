import { defineConfig } from "vitest/config";

export default defineConfig({
  // Not beside these files.
  cacheDir: "../node_modules/.vite-e2e",
  test: {
    root: import.meta.dirname,
    include: ["*.e2e.ts"],
    // One browser at a time; a training takes minutes.
    fileParallelism: false,
    testTimeout: 15 * 60_000,
    hookTimeout: 60_000,
  },
});
