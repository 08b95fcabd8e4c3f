/** Which cards does an announcement concern? What one store records is read anew only where it is shown. */
import type { Changed } from "@/app/live";

/** What a card is made of. */
export type Matter = "sales" | "stock" | "restocks" | "cases" | "tills" | "catalogue";

const TYPES: Record<Matter, RegExp> = {
  sales: /^sale\./,
  stock: /^(sale\.|stock\.|delivery\.|restock\.(shipped|received)|product\.)/,
  restocks: /^restock\./,
  cases: /^case\./,
  tills: /^(sale\.|till\.)/,
  catalogue: /^(store|product)\./,
};

/** Stores that announce under this name concern everybody: the catalogue. */
const CATALOGUE = "siege";

/**
 * Whether a card has to be read again. `store` is the one that is looked at, null for all of them. An announcement without types comes from
 * a projection that has caught up: it may be about anything. A restock concerns two stores, whichever of them announces it.
 */
export function concerns(change: Changed, matters: readonly Matter[], store: string | null): boolean {
  return change.stores.some(({ store_id, types }) => {
    const about = matters.filter((each) => types.length === 0 || types.some((type) => TYPES[each].test(type)));
    const anywhere = store === null || store_id === store || store_id === CATALOGUE;
    return about.length > 0 && (anywhere || about.includes("restocks"));
  });
}
