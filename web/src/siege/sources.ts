/** What several cards show together is read once. */
import { computed, inject, onBeforeUnmount, provide, reactive } from "vue";
import type { InjectionKey } from "vue";
import { onChanged } from "@/app/live";
import type { Listed } from "@/app/queries";
import { totalOf } from "./figures";
import type { StoreRow, TimeRow } from "./figures";
import { readAll, readList } from "./pages";
import type { ListPage } from "./pages";
import type { Days } from "./period";
import { useReading } from "./reading";
import { OPEN, UnderWay } from "./restocking";
import type { Restock, RestockStatus } from "./restocking";
import { voices } from "./tills";
import type { Till } from "./tills";
import type { View } from "./view";

const MOST_ROWS = 1_000;
const MOST_TILLS = 10_000;
const RESTOCKS_A_STATE = 200;
const CLOSED_RESTOCKS = 12;

export interface Measure {
  name: string;
  formula: string;
  unit: string;
  fr: string;
  en: string;
  label: { fr: string; en: string };
}

/** How much is missing in a store. */
export interface ShelfCount {
  store_id: string;
  stock_outs: number;
  negative_skus: number;
  low_skus?: number;
}

function figures(view: View) {
  const about = (days: Days | null) => ({ from: days?.from, to: days?.to, store: view.store.value });

  const performance = (name: string, days: () => Days | null) =>
    useReading<Listed<StoreRow>>({
      key: () => ["performance", name, days()],
      read: (signal) => readAll<StoreRow>("reports/store-performance", { ...days(), group_by: "store_id", limit: MOST_ROWS }, MOST_ROWS, signal),
      matters: ["sales", "stock"],
      everywhere: true,
      enabled: () => days() !== null,
    }, view);
  /** The rows of all stores are read, so that another one is shown at once and the table stays whole. */
  const looked = (row: StoreRow) => view.store.value === null || row.store_id === view.store.value;
  const byTime = (name: string, days: () => Days | null, by: () => "hour" | "day") =>
    useReading<Listed<TimeRow>>({
      key: () => ["time", name, by(), about(days())],
      read: (signal) => readAll<TimeRow>("reports/hourly-sales", { ...about(days()), group_by: by(), limit: MOST_ROWS }, MOST_ROWS, signal),
      matters: ["sales"],
      enabled: () => days() !== null,
    }, view);

  const now = performance("now", () => view.days.value);
  const before = performance("before", () => view.before.value);
  const lastDay = (days: Days | null): Days | null => (days && view.running.value && view.before.value ? { from: days.to, to: days.to } : null);
  const today = byTime("today", () => lastDay(view.days.value), () => "hour");
  const dayBefore = byTime("day before", () => lastDay(view.before.value), () => "hour");

  const tills = useReading<Listed<Till>>({
    key: () => ["tills"],
    read: (signal) => readAll<Till>("reports/tills", { limit: MOST_TILLS }, MOST_TILLS, signal),
    matters: ["tills"],
    everywhere: true,
  }, view);

  const shelves = useReading<Listed<ShelfCount>>({
    key: () => ["shelves", view.store.value],
    read: (signal) => readList<ShelfCount>("reports/low-stock", { group_by: "store_id", store: view.store.value, limit: MOST_ROWS }, signal),
    matters: ["stock"],
  }, view);

  // The past hardly changes, and counting it is work: once a period is enough.
  const shelvesBefore = useReading<Listed<ShelfCount>>({
    key: () => ["shelves before", view.store.value, view.before.value?.to],
    read: (signal) => readList<ShelfCount>("stock/shortages", { to: view.before.value?.to, store: view.store.value }, signal),
    matters: [],
    enabled: () => view.before.value !== null,
  }, view);

  const announced = reactive(new Map<string, string>());
  onBeforeUnmount(
    onChanged(({ at, stores }) => {
      for (const { store_id, types } of stores) if (types.some((type) => type.startsWith("sale."))) announced.set(store_id, at);
    }),
  );

  const restocks = (status: RestockStatus, limit: number) =>
    useReading<ListPage<Restock>>({
      key: () => ["restocks", status, view.store.value],
      read: (signal) => readList<Restock>("restocks", { status, store: view.store.value, limit }, signal),
      matters: ["restocks"],
    }, view);
  const open = OPEN.map((status) => ({ status, reading: restocks(status, RESTOCKS_A_STATE) }));
  const received = restocks("received", CLOSED_RESTOCKS);

  const measures = useReading<{ items: { name: string; measures: Measure[] }[] }>({
    key: () => ["measures"],
    read: async (signal) => (await readList<{ name: string; measures: Measure[] }>("reports", {}, signal)) as { items: { name: string; measures: Measure[] }[] },
    matters: [],
  }, view);

  return {
    now,
    before,
    today,
    dayBefore,
    byTime,
    tills,
    shelves,
    shelvesBefore,
    open,
    received,
    totals: computed(() => (now.data.value ? totalOf(now.data.value.items.filter(looked)) : null)),
    totalsBefore: computed(() => (view.before.value && before.data.value ? totalOf(before.data.value.items.filter(looked)) : null)),
    voices: computed(() => voices(tills.data.value?.items ?? [], announced)),
    underWay: computed(() => new UnderWay(open.flatMap(({ reading }) => reading.data.value?.items ?? []))),
    /** What a figure means, from the one dictionary of the reports. */
    measure: (name: string): Measure | undefined =>
      measures.data.value?.items.flatMap((report) => report.measures).find((measure) => measure.name === name),
  };
}

type Figures = ReturnType<typeof figures>;
const KEY: InjectionKey<Figures> = Symbol("figures");

export function provideFigures(view: View): Figures {
  const made = figures(view);
  provide(KEY, made);
  return made;
}

export function useFigures(): Figures {
  const found = inject(KEY);
  if (!found) throw new Error("no figures are provided here");
  return found;
}
