import { reactive } from "vue";
import type { Tone } from "./UPill.vue";

export interface Toast {
  id: number;
  title: string;
  text?: string;
  tone: Tone;
  /** A way back, such as undo. */
  action?: { label: string; run: () => void };
  seconds: number;
}

let next = 1;
export const toasts = reactive<Toast[]>([]);

/** Says something in passing: `toast("Vente annulée", { action: { label: "Rétablir", run } })`. Answers its id. */
export function toast(title: string, more: Partial<Omit<Toast, "id" | "title">> = {}): number {
  const id = next++;
  toasts.push({ id, title, tone: "neutral", seconds: more.action ? 8 : 5, ...more });
  if (toasts.length > 4) toasts.shift();
  return id;
}

export function dismiss(id: number): void {
  const index = toasts.findIndex((each) => each.id === id);
  if (index >= 0) toasts.splice(index, 1);
}
