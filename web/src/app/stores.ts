import { computed } from "vue";
import { useQuery } from "@tanstack/vue-query";
import { listStores } from "@/api";
import { rows } from "./queries";
import { who } from "./session";

export interface Store {
  store_id: string;
  name: string;
  kind: "store" | "centre";
  timezone: string;
  currency: string;
  centre?: string | null;
  oversell: "allow" | "refuse";
  /** When its business day ends on the next morning, "03:00". */
  day_ends: string;
}

/** The stores that the person may see; `named` makes their names out of ids. */
export function useStores() {
  const query = useQuery({
    queryKey: ["stores", () => who.value?.username],
    queryFn: () => rows<Store>(listStores({ query: { limit: 500 } })),
    enabled: () => who.value !== null,
    staleTime: 60_000,
    meta: { live: ["store.defined"] },
  });
  const stores = computed(() => query.data.value?.items ?? []);
  const byId = computed(() => new Map(stores.value.map((store) => [store.store_id, store])));
  return {
    query,
    stores,
    shops: computed(() => stores.value.filter((store) => store.kind === "store")),
    store: (id: string | null | undefined) => (id ? byId.value.get(id) : undefined),
    named: (id: string | null | undefined) => (id ? (byId.value.get(id)?.name ?? id) : "–"),
  };
}
