import type { Role, Who } from "./session";

export type Section = "accueil" | "caisse" | "siege" | "exploitation" | "gestion";

/** Which sections a role sees. The server decides what each may do; this only spares people doors that stay closed. */
const SECTIONS: Record<Role, readonly Section[]> = {
  caissier: ["caisse", "gestion"],
  gestionnaire: ["accueil", "caisse", "siege", "gestion"],
  operateur: ["accueil", "siege", "exploitation"],
  admin: ["accueil", "caisse", "siege", "exploitation", "gestion"],
};

/** An operator of some stores only gets nothing of the whole chain's operation. */
export function sectionsOf(who: Who | null): readonly Section[] {
  if (!who) return [];
  const all = SECTIONS[who.role] ?? [];
  return who.stores.includes("*") ? all : all.filter((section) => section !== "exploitation");
}

/** Where somebody lands after signing in. */
export const homeOf = (who: Who | null): string => (who?.role === "caissier" ? "/caisse" : "/");
