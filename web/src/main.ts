import "./ui/tokens.css";
import "./ui/base.css";
import { VueQueryPlugin } from "@tanstack/vue-query";
import { createApp, watch } from "vue";
import AppShell from "./app/AppShell.vue";
import { online } from "./app/http";
import { i18n } from "./app/i18n";
import { startLive } from "./app/live";
import { queries } from "./app/queries";
import { router } from "./app/router";
import { who } from "./app/session";
import { keepOffline } from "./app/updates";
import { speakOurLanguage } from "./app/validity";

createApp(AppShell).use(i18n).use(router).use(VueQueryPlugin, { queryClient: queries }).mount("#app");
startLive();
speakOurLanguage();

watch(online, (now, before) => {
  if (now && !before) void queries.refetchQueries({ type: "active" });
});
watch(
  () => who.value?.username,
  (now, before) => {
    if (before && now !== before) queries.clear();
  },
);
window.addEventListener("load", () => setTimeout(() => void keepOffline().catch(() => undefined), 2_000));
