/** What has just changed, so that the eye finds it: keys whose figure differs from the one before, for a moment. */
import { onBeforeUnmount, ref, watch } from "vue";

const SEEN_MS = 2_500;

/** `state` tells each key's figure; `scope` what they are of: in another period everything differs and nothing is new. */
export function useFresh(state: () => ReadonlyMap<string, unknown> | null, scope: () => string) {
  const fresh = ref<ReadonlySet<string>>(new Set());
  let known: { scope: string; figures: ReadonlyMap<string, unknown> } | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  watch(
    state,
    (figures) => {
      if (!figures) return;
      const before = known;
      known = { scope: scope(), figures };
      if (!before || before.scope !== known.scope) return;
      const changed = [...figures].filter(([key, figure]) => before.figures.get(key) !== figure).map(([key]) => key);
      if (!changed.length) return;
      fresh.value = new Set(changed);
      clearTimeout(timer);
      timer = setTimeout(() => (fresh.value = new Set()), SEEN_MS);
    },
    { immediate: true },
  );
  onBeforeUnmount(() => clearTimeout(timer));
  return fresh;
}
