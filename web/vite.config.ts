import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import vue from "@vitejs/plugin-vue";
import type { Plugin } from "vite";
import { VitePWA } from "vite-plugin-pwa";
import { defineConfig } from "vitest/config";

const HERE = fileURLToPath(new URL(".", import.meta.url));
// What the server answers itself: the service worker never puts the page in its place.
const SERVER = [/^\/(api|docs|swagger-ui|metrics|healthz|readyz|\.well-known)(\/|$)/, /^\/(openapi|asyncapi)\.json$/];

/** Lays a .gz beside every text of the build, so that the server compresses nothing while somebody waits. */
function compressed(): Plugin {
  let folder = "";
  return {
    name: "magasin-compressed",
    apply: "build",
    enforce: "post",
    configResolved: (config) => void (folder = resolve(config.root, config.build.outDir)),
    closeBundle: {
      order: "post",
      sequential: true,
      handler() {
        for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
          if (!entry.isFile() || !/\.(js|css|html|svg|webmanifest)$/.test(entry.name)) continue;
          const path = join(entry.parentPath, entry.name);
          writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
        }
      },
    },
  };
}

export default defineConfig({
  root: HERE,
  resolve: { alias: { "@": join(HERE, "src") } },
  define: {
    __VUE_OPTIONS_API__: false,
    __VUE_PROD_DEVTOOLS__: false,
    __VUE_I18N_LEGACY_API__: false,
    __VUE_I18N_FULL_INSTALL__: false,
    __INTLIFY_PROD_DEVTOOLS__: false,
  },
  plugins: [
    vue(),
    VitePWA({
      strategies: "generateSW",
      injectRegister: false,
      registerType: "prompt",
      manifest: {
        name: "Magasin",
        short_name: "Magasin",
        description: "Ventes et stock de toute la chaîne, à la seconde.",
        lang: "fr",
        start_url: "/",
        display: "standalone",
        background_color: "#f6f7f8",
        theme_color: "#0f766e",
        icons: [{ src: "/icon.svg", sizes: "any", type: "image/svg+xml", purpose: "any" }],
      },
      workbox: {
        globPatterns: ["index.html", "icon.svg", "assets/*.{js,css}"],
        navigateFallback: "/index.html",
        navigateFallbackDenylist: SERVER,
        cleanupOutdatedCaches: true,
        inlineWorkboxRuntime: true,
        sourcemap: false,
      },
    }),
    compressed(),
  ],
  build: { target: "es2022", modulePreload: { polyfill: false }, assetsInlineLimit: 0, reportCompressedSize: false, emptyOutDir: true },
  server: { host: "127.0.0.1", proxy: { "^/(api|docs|swagger-ui|openapi\\.json|healthz)": process.env.MAGASIN_URL ?? "http://127.0.0.1:8000" } },
  test: { environment: "happy-dom", include: ["src/**/*.test.ts"], setupFiles: ["src/app/testing.ts"] },
});
