import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// `npm run dev` serves the page itself and passes API calls on to a running gateway.
const gateway = process.env.TRAINYARD_URL ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react()],
  build: {
    // The gateway's Content-Security-Policy knows no data: URLs, so nothing is inlined.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 700,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/v1": gateway, "/session": gateway } },
  test: { include: ["src/**/*.test.ts"] },
});
