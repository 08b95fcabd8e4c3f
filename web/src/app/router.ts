import { createRouter, createWebHistory } from "vue-router";
import type { RouteRecordRaw } from "vue-router";
import { routes as accueil } from "@/accueil/routes";
import { routes as caisse } from "@/caisse/routes";
import { routes as exploitation } from "@/exploitation/routes";
import { routes as gestion } from "@/gestion/routes";
import { routes as siege } from "@/siege/routes";
import { toast } from "@/ui/toasts";
import { t } from "./i18n";
import { homeOf, sectionsOf } from "./roles";
import type { Section } from "./roles";
import { who } from "./session";

declare module "vue-router" {
  interface RouteMeta {
    /** Which entry of the menu it belongs to; without one, everybody may open it. */
    section?: Section;
    /** No menu and no margins: the sign-in page, a receipt. */
    bare?: boolean;
  }
}

const inSection = (section: Section, routes: RouteRecordRaw[]): RouteRecordRaw[] =>
  routes.map((route) => ({ ...route, meta: { section, ...route.meta } }) as RouteRecordRaw);

export const router = createRouter({
  history: createWebHistory(),
  routes: [
    { path: "/connexion", component: () => import("./SignInPage.vue"), meta: { bare: true } },
    ...inSection("accueil", accueil),
    ...inSection("caisse", caisse),
    ...inSection("siege", siege),
    ...inSection("exploitation", exploitation),
    ...inSection("gestion", gestion),
    { path: "/refuse", component: () => import("./NotAllowed.vue") },
    { path: "/:rest(.*)*", component: () => import("./NotFound.vue") },
  ],
  scrollBehavior: (to, from, saved) => saved ?? (to.path === from.path ? undefined : { top: 0 }),
});

/** A section comes with its first opening. Without a line it may not come: the page that is open stays, and says so. */
router.onError((_, to) =>
  toast(t("app.page_away"), { tone: "warn", text: t("app.page_away_hint"), action: { label: t("ui.retry"), run: () => location.assign(to.fullPath) } }),
);

router.beforeEach((to) => {
  if (to.path === "/connexion") return who.value ? homeOf(who.value) : true;
  if (!who.value) return { path: "/connexion", query: to.path === "/" ? {} : { next: to.fullPath } };
  const section = to.meta.section;
  if (!section || sectionsOf(who.value).includes(section)) return true;
  return section === "accueil" ? homeOf(who.value) : { path: "/refuse", query: { from: to.path } };
});
