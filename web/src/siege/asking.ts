/** Which dialogs a card may open: they are one each, on the page. */
import { inject, provide, shallowRef } from "vue";
import type { InjectionKey, ShallowRef } from "vue";
import type { Asked } from "./pages";
import type { Alert } from "./restocking";

/** A figure to explain: the report's measure and the filters that name its cell. */
export interface Figure {
  report: string;
  measure: string;
  /** What the dialog is called: the figure and where it stands. */
  title: string;
  asked: Asked;
}

export const KINDS = [
  "oversell",
  "over_return",
  "short_receipt",
  "damaged_receipt",
  "late_receipt",
  "count_variance",
  "till_sequence",
  "id_reuse",
  "unknown_product",
] as const;

export interface Case {
  case_id: string;
  kind: (typeof KINDS)[number];
  status: "open" | "resolved";
  store_id: string;
  sku: string | null;
  name: { fr: string; en: string } | null;
  opened_at: string;
  details: Record<string, unknown>;
  proposal: Resolution;
  advice: { fr: string; en: string };
}

export const RESOLUTIONS = ["recount", "write_off", "transfer", "accept"] as const;
export type Resolution = (typeof RESOLUTIONS)[number];

export interface Asking {
  figure: ShallowRef<Figure | null>;
  alert: ShallowRef<Alert | null>;
  restock: ShallowRef<string | null>;
  found: ShallowRef<Case | null>;
}

const KEY: InjectionKey<Asking> = Symbol("asking");

export function provideAsking(): Asking {
  const made: Asking = { figure: shallowRef(null), alert: shallowRef(null), restock: shallowRef(null), found: shallowRef(null) };
  provide(KEY, made);
  return made;
}

export function useAsking(): Asking {
  const found = inject(KEY);
  if (!found) throw new Error("nobody can be asked here");
  return found;
}
