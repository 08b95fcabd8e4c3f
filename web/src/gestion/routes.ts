import type { RouteRecordRaw } from "vue-router";

export const routes: RouteRecordRaw[] = [{ path: "/gestion", component: () => import("./GestionPage.vue") }];
