import { ref } from "vue";
import { toast } from "@/ui/toasts";
import { asProblem } from "./problem";
import type { Problem } from "./problem";

/** One thing that somebody does: is it under way, and what went wrong? `run` answers whether it was done. */
export function useDeed() {
  const busy = ref(false);
  const problem = ref<Problem | null>(null);
  async function run(work: () => Promise<unknown>, done?: string): Promise<boolean> {
    if (busy.value) return false;
    busy.value = true;
    problem.value = null;
    try {
      await work();
      if (done) toast(done, { tone: "good" });
      return true;
    } catch (error) {
      problem.value = asProblem(error);
      return false;
    } finally {
      busy.value = false;
    }
  }
  return { busy, problem, run };
}

/** The fault of one field among those that the server named, by its pointer. */
export const faultOf = (problem: Problem | null, pointer: string): string | undefined =>
  problem?.errors.find((fault) => fault.pointer === pointer)?.detail;
