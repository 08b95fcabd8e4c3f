import type { RouteRecordRaw } from "vue-router";

export const routes: RouteRecordRaw[] = [{ path: "/siege", component: () => import("./SiegePage.vue") }];
