import { ref, watchEffect } from "vue";

export type Theme = "system" | "light" | "dark";
export const THEMES: readonly Theme[] = ["system", "light", "dark"];
const KEPT = "magasin.theme";
const kept = localStorage.getItem(KEPT) as Theme | null;

/** What the person chose; `system` follows the machine. Colours come from `light-dark()` in tokens.css. */
export const theme = ref<Theme>(kept && THEMES.includes(kept) ? kept : "system");

/** Grows whenever the colours change: what draws on a canvas looks at it. */
export const paint = ref(0);

watchEffect(() => {
  document.documentElement.dataset["theme"] = theme.value;
  localStorage.setItem(KEPT, theme.value);
  paint.value++;
});
globalThis.matchMedia?.("(prefers-color-scheme: dark)").addEventListener("change", () => paint.value++);
