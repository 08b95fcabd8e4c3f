import type { RouteRecordRaw } from "vue-router";
import { addMessages } from "@/app/i18n";

export const routes: RouteRecordRaw[] = [
  {
    path: "/caisse",
    component: async () => {
      const [page, { messages }] = await Promise.all([import("./CaissePage.vue"), import("./messages")]);
      addMessages("caisse", messages);
      return page;
    },
  },
];
