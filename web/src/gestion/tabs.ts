import type { Who } from "@/app/session";

export type Tab = "produits" | "magasins" | "utilisateurs" | "importations" | "comptages" | "webhooks";

/** Which tabs a person has: cashiers count, managers describe and count, administrators do everything. */
export function tabsOf(who: Who | null): readonly Tab[] {
  if (who?.role === "admin" && who.stores.includes("*")) return ["produits", "magasins", "utilisateurs", "importations", "comptages", "webhooks"];
  if (who?.role === "admin" || who?.role === "gestionnaire") return ["produits", "magasins", "importations", "comptages"];
  return who?.role === "caissier" ? ["comptages"] : [];
}

/** Products belong to the whole chain: whoever has some stores only may look. */
export const definesProducts = (who: Who | null): boolean =>
  (who?.role === "gestionnaire" || who?.role === "admin") && who.stores.includes("*");

export const definesStores = (who: Who | null): boolean => who?.role === "admin" && who.stores.includes("*");
