import { computed, watchEffect } from "vue";
import { createI18n } from "vue-i18n";
import { messages } from "./messages";

export type Language = "fr" | "en";
type Tree = { [key: string]: string | Tree };
export type Messages = Record<Language, Tree>;

type Translate = (key: string, values?: Record<string, unknown> | number) => string;

const KEPT = "magasin.language";
const kept = localStorage.getItem(KEPT) ?? (navigator.language.startsWith("en") ? "en" : "fr");

export const i18n = createI18n({
  legacy: false,
  locale: kept === "en" ? "en" : "fr",
  fallbackLocale: "fr",
  messages: messages as unknown as Record<Language, never>,
  missingWarn: import.meta.env.DEV,
  fallbackWarn: import.meta.env.DEV,
});

/** The language in use; French first. */
export const language = computed<Language>({
  get: () => i18n.global.locale.value as Language,
  set: (chosen) => {
    i18n.global.locale.value = chosen as never;
    localStorage.setItem(KEPT, chosen);
  },
});

/** The locale of figures and dates. */
export const locale = computed(() => `${language.value}-CA`);

/** The same `t` outside of components. */
export const t = (i18n.global as unknown as { t: Translate }).t;

/** Adds a page's texts under a name of its own: `addMessages("caisse", {fr, en})` makes `t("caisse.title")`. */
export function addMessages(page: string, texts: Messages): void {
  for (const each of ["fr", "en"] as const) i18n.global.mergeLocaleMessage(each, { [page]: texts[each] } as never);
}

watchEffect(() => {
  document.documentElement.lang = language.value;
});
