/** A read that follows what happens: anew at once when it is concerned, never faster than it is answered, not at all while nobody looks. */
import { keepPreviousData, useQuery } from "@tanstack/vue-query";
import { computed, onBeforeUnmount, watch } from "vue";
import { live, onChanged } from "@/app/live";
import { asProblem } from "@/app/problem";
import { concerns } from "./concern";
import type { Matter } from "./concern";
import { Pace } from "./pace";
import { useView } from "./view";
import type { View } from "./view";

const NET_MS = 15_000;

export interface Wanted<Data> {
  key: () => readonly unknown[];
  read: (signal: AbortSignal) => Promise<Data>;
  matters: readonly Matter[];
  enabled?: () => boolean;
  /** It is of every store, whichever is looked at. */
  everywhere?: boolean;
}

/** The page itself gives its `view`: nothing finds what it provides itself. */
export function useReading<Data>({ key, read, matters, enabled = () => true, everywhere = false }: Wanted<Data>, view: View = useView()) {
  const query = useQuery<Data>({
    queryKey: computed(() => ["siege", ...key()]),
    queryFn: ({ signal }) => read(signal),
    enabled,
    placeholderData: keepPreviousData,
    staleTime: 10_000,
  });
  const pace = new Pace(async () => {
    if (!enabled()) return;
    // What is on its way already may have been asked before the change: its answer does not count.
    if (query.isFetching.value) await query.refetch({ cancelRefetch: false });
    await query.refetch({ cancelRefetch: false });
  });
  const look = () => pace.hold(document.hidden);
  const stop = onChanged((change) => concerns(change, matters, everywhere ? null : view.store.value) && pace.touch());
  // While nothing is announced a slow look is the net.
  const net = setInterval(() => live.value !== "online" && pace.touch(), NET_MS);
  watch(query.errorUpdatedAt, () => query.error.value && asProblem(query.error.value).passing && pace.again());
  watch(live, (now, before) => now === "online" && before !== "online" && pace.touch());
  document.addEventListener("visibilitychange", look);
  onBeforeUnmount(() => {
    stop();
    clearInterval(net);
    pace.stop();
    document.removeEventListener("visibilitychange", look);
  });
  return query;
}

export type Reading<Data> = ReturnType<typeof useReading<Data>>;
