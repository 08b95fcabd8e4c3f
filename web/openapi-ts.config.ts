import { fileURLToPath } from "node:url";
import { defineConfig } from "@hey-api/openapi-ts";

// The document comes from `python -m magasin.web_document`; `make client` and the check in CI name both places.
export default defineConfig({
  input: process.env.MAGASIN_OPENAPI ?? fileURLToPath(new URL("openapi.json", import.meta.url)),
  output: { path: process.env.MAGASIN_CLIENT ?? "src/api", entryFile: true },
  plugins: [
    { name: "@hey-api/client-fetch", baseUrl: false, throwOnError: true, runtimeConfigPath: "@/app/http" },
    { name: "@hey-api/typescript" },
    { name: "@hey-api/sdk", responseStyle: "data" },
  ],
});
