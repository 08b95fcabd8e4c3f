/** In which store does this till stand? The cashier's own; who may act for many chooses one, and it is remembered. */

import { listStores } from "@/api";
import { rows } from "@/app/queries";
import { mayUse } from "@/app/session";
import type { Store } from "@/app/stores";
import type { Storage } from "./storage";

const KEY = "magasin.caisse.store";
const KNOWN = "stores";

/** The shops that the person may sell in, as of the last connection; asked anew when there is one. */
export async function shopsKnown(storage: Storage): Promise<Store[]> {
  const kept = ((await storage.get("kept", KNOWN)) as Store[] | undefined) ?? [];
  return kept.filter((store) => mayUse(store.store_id));
}

export async function shopsNow(storage: Storage): Promise<Store[]> {
  const { items } = await rows<Store>(listStores({ query: { limit: 500 } }));
  const shops = items.filter((store) => store.kind === "store");
  await storage.put("kept", shops, KNOWN).catch(() => undefined);
  return shops;
}

/** The shop that was chosen last among these, else the first. */
export function chosen(shops: readonly Store[]): Store | null {
  const last = localStorage.getItem(KEY);
  return shops.find((store) => store.store_id === last) ?? shops[0] ?? null;
}

export function choose(store: Store): void {
  localStorage.setItem(KEY, store.store_id);
}
