import type { RouteRecordRaw } from "vue-router";

export const routes: RouteRecordRaw[] = [{ path: "/caisse", component: () => import("./CaissePage.vue") }];
