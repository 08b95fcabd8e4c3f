/** What is looked at: which days, which stores, compared with what. It stands in the address, so a reload or a colleague sees the same. */
import { computed, inject, onBeforeUnmount, provide, ref } from "vue";
import type { ComputedRef, InjectionKey, Ref, WritableComputedRef } from "vue";
import { useRoute, useRouter } from "vue-router";
import { ago } from "@/app/format";
import { who } from "@/app/session";
import { useStores } from "@/app/stores";
import type { Store } from "@/app/stores";
import { COMPARISONS, PRESETS, businessDay, dayIn, daysOf, earlier, hourAt, hoursOfDay, isRunning } from "./period";
import { shortNames } from "./names";
import type { Comparison, Days, Preset } from "./period";

export interface View {
  preset: WritableComputedRef<Preset>;
  custom: WritableComputedRef<Days>;
  comparison: WritableComputedRef<Comparison>;
  /** The store that is looked at; null for all of them. */
  store: WritableComputedRef<string | null>;
  today: ComputedRef<string>;
  /** The hour on the stores' walls. */
  hour: ComputedRef<number>;
  hours: ComputedRef<number[]>;
  days: ComputedRef<Days>;
  before: ComputedRef<Days | null>;
  running: ComputedRef<boolean>;
  timeZone: ComputedRef<string>;
  /** The one currency of the stores that are looked at; null when they have several, which no figure can add up. */
  currency: ComputedRef<string | null>;
  /** The time, each second; `minute` where that is often enough. */
  now: Ref<number>;
  minute: ComputedRef<number>;
  /** How long ago something was, every ten seconds anew; what is not yet past in that time is now. */
  since: (at: string) => string;
  stores: ComputedRef<Store[]>;
  named: (id: string | null | undefined) => string;
  /** The same where there is little room. */
  called: (id: string) => string;
  /** Whether the person may ask for goods and move them on. */
  mayRestock: ComputedRef<boolean>;
}

const KEY: InjectionKey<View> = Symbol("view");
const HOME = { timeZone: "America/Toronto", dayEnds: "00:00" };

/** What most of them have; the first of equals. */
function most(values: readonly string[]): string | undefined {
  const counts = new Map<string, number>();
  for (const each of values) counts.set(each, (counts.get(each) ?? 0) + 1);
  return [...counts].sort(([, one], [, other]) => other - one)[0]?.[0];
}

export function provideView(): View {
  const route = useRoute();
  const router = useRouter();
  const { stores, named } = useStores();

  const now = ref(Date.now());
  const timer = setInterval(() => (now.value = Date.now()), 1000);
  onBeforeUnmount(() => clearInterval(timer));
  const moment = computed(() => Math.floor(now.value / 10_000) * 10_000);
  const minute = computed(() => Math.floor(now.value / 60_000) * 60_000);

  const asked = (name: string) => computed(() => route.query[name]);
  const change = (query: Record<string, string | undefined>) => void router.replace({ query: { ...route.query, ...query } });
  const [askedPreset, askedFrom, askedTo, askedStore, askedComparison] = ["periode", "du", "au", "magasin", "comparer"].map(asked);

  const store = computed<string | null>({
    get: () => (typeof askedStore!.value === "string" ? askedStore!.value : null),
    set: (chosen) => change({ magasin: chosen ?? undefined }),
  });
  const shown = computed(() => stores.value.filter((each) => (store.value === null ? each.kind === "store" : each.store_id === store.value)));
  const clock = computed(() => ({
    timeZone: most(shown.value.map((each) => each.timezone)) ?? HOME.timeZone,
    dayEnds: most(shown.value.map((each) => each.day_ends)) ?? HOME.dayEnds,
  }));
  const today = computed(() => businessDay(new Date(minute.value), clock.value));

  const preset = computed<Preset>({
    get: () => PRESETS.find((each) => each === askedPreset!.value) ?? "today",
    set: (chosen) =>
      change({
        periode: chosen === "today" ? undefined : chosen,
        ...(chosen === "custom" ? { du: days.value.from, au: days.value.to } : { du: undefined, au: undefined }),
      }),
  });
  const capped = (day: string | null) => (day === null || day > today.value ? today.value : day);
  const custom = computed<Days>({
    get: () => ({ from: capped(dayIn(askedFrom!.value)), to: capped(dayIn(askedTo!.value)) }),
    set: ({ from, to }) => change({ periode: "custom", du: from, au: to }),
  });
  const comparison = computed<Comparison>({
    get: () => COMPARISONS.find((each) => each === askedComparison!.value) ?? "previous",
    set: (chosen) => change({ comparer: chosen === "previous" ? undefined : chosen }),
  });
  const days = computed(() => daysOf(preset.value, today.value, custom.value));

  const short = computed(() => new Map([...shortNames(stores.value.filter((each) => each.kind === "centre")), ...shortNames(stores.value.filter((each) => each.kind === "store"))]));

  const view: View = {
    preset,
    custom,
    comparison,
    store,
    today,
    hour: computed(() => hourAt(new Date(minute.value), clock.value)),
    hours: computed(() => hoursOfDay(clock.value.dayEnds)),
    days,
    before: computed(() => earlier(days.value, comparison.value)),
    running: computed(() => isRunning(days.value, today.value)),
    timeZone: computed(() => clock.value.timeZone),
    currency: computed(() => {
      const found = new Set(shown.value.map((each) => each.currency));
      return found.size > 1 ? null : ([...found][0] ?? "CAD");
    }),
    now,
    minute,
    since: (at) => ago(at, Math.max(moment.value, Date.parse(at))),
    stores,
    named,
    called: (id) => short.value.get(id) ?? id,
    mayRestock: computed(() => who.value?.role === "gestionnaire" || who.value?.role === "admin"),
  };
  provide(KEY, view);
  return view;
}

export function useView(): View {
  const view = inject(KEY);
  if (!view) throw new Error("no view is provided here");
  return view;
}
