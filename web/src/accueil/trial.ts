import { ref } from "vue";
import { recordSale } from "@/api";
import type { RecordSale } from "@/api";
import { WAIT } from "@/app/http";
import { uuid7 } from "@/app/ids";
import { onChanged } from "@/app/live";
import { asProblem } from "@/app/problem";
import type { Problem } from "@/app/problem";

const PATIENCE_MS = 10_000;

export interface Trial {
  recordedMs: number | null;
  seq: number | null;
  arrivedMs: number | null;
}

/** One real sale, timed from the click until the live stream tells headquarters that its reports have it. */
export function useTrial() {
  const trial = ref<Trial | null>(null);
  const problem = ref<Problem | null>(null);
  const busy = ref(false);

  async function sell(store: string, sku: string, price: string): Promise<void> {
    const began = performance.now();
    const reached = new Map<string, number>();
    let look = (): void => undefined;
    const stop = onChanged(({ stores }) => {
      for (const each of stores) reached.set(each.store_id, each.seq);
      look();
    });
    busy.value = true;
    problem.value = null;
    trial.value = { recordedMs: null, seq: null, arrivedMs: null };
    try {
      const body: RecordSale = { sale_id: uuid7(), lines: [{ sku, quantity: 1, unit_price: price }], payment: { method: "card" } };
      const told = (await recordSale({ path: { store_id: store }, body, headers: WAIT })) as { seq?: number };
      const seq = told.seq ?? 0;
      trial.value = { recordedMs: performance.now() - began, seq, arrivedMs: null };
      const arrived = new Promise<void>((resolve) => {
        look = () => (reached.get(store) ?? 0) >= seq && resolve();
        look();
        setTimeout(resolve, PATIENCE_MS);
      });
      await arrived;
      if ((reached.get(store) ?? 0) >= seq) trial.value = { ...trial.value, arrivedMs: performance.now() - began };
    } catch (error) {
      problem.value = asProblem(error);
      trial.value = null;
    } finally {
      stop();
      busy.value = false;
    }
  }
  return { trial, problem, busy, sell };
}
