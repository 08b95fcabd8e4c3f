import type { RouteRecordRaw } from "vue-router";

export const routes: RouteRecordRaw[] = [
  {
    path: "/gestion",
    component: () => import("./GestionPage.vue"),
    children: [
      { path: "", component: () => import("./FirstTab.vue") },
      { path: "produits", component: () => import("./ProductsView.vue") },
      { path: "magasins", component: () => import("./StoresView.vue") },
      { path: "utilisateurs", component: () => import("./UsersView.vue") },
      { path: "importations", component: () => import("./ImportsView.vue") },
      { path: "comptages", component: () => import("./CountsView.vue") },
      { path: "webhooks", component: () => import("./WebhooksView.vue") },
    ],
  },
];
