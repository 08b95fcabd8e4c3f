/** What can a till ask of the system, and what became of it? */

import type { Bilingual } from "./products";

export type Kind = "sale" | "return" | "void" | "restock";

/**
 * waiting: not known to have arrived. accepted: confirmed, not decided yet. recorded: in the log. refused: by a rule or as faulty; the
 * people at the till decide. abandoned: refused, and somebody said that it need not be tried again.
 */
export type State = "waiting" | "accepted" | "recorded" | "refused" | "abandoned";

/** RFC 9457, as far as the till shows it. */
export interface Problem {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail?: string;
  readonly errors?: readonly { readonly pointer: string; readonly code: string; readonly detail: string }[];
  readonly available?: Readonly<Record<string, number>>;
}

export interface SaleLine {
  readonly sku: string;
  readonly quantity: number;
  readonly unit_price: string;
}

export interface SaleBody {
  readonly sale_id: string;
  readonly till_id: string;
  readonly till_seq: number;
  readonly occurred_at: string;
  readonly lines: readonly SaleLine[];
  readonly payment: { readonly method: "cash" | "card"; readonly tendered?: string };
  readonly if_insufficient?: "allow";
}

export interface ReturnLine {
  readonly sku: string;
  readonly quantity: number;
  readonly condition: "resellable" | "damaged";
}

export interface ReturnBody {
  readonly return_id: string;
  readonly occurred_at: string;
  readonly reason: string;
  readonly lines: readonly ReturnLine[];
}

export interface VoidBody {
  readonly void_id: string;
  readonly occurred_at: string;
  readonly reason: string;
}

export interface RestockBody {
  readonly restock_id: string;
  readonly occurred_at: string;
  readonly to_store: string;
  readonly lines: readonly { readonly sku: string; readonly quantity: number }[];
  readonly note?: string;
}

interface Told {
  /** Its place in the order of sending; given by the storage. */
  readonly place?: number;
  readonly id: string;
  readonly store: string;
  /** The sale that it is about: its own id for a sale. */
  readonly subject: string;
  readonly madeAt: string;
  readonly by: string;
  readonly state: State;
  readonly attempts: number;
  readonly problem?: Problem;
  readonly settledAt?: string;
  /** What the products were called when this was made: the list can be read without the catalogue. */
  readonly names: Readonly<Record<string, Bilingual>>;
}

export type Command = Told &
  (
    | { readonly kind: "sale"; readonly body: SaleBody }
    | { readonly kind: "return"; readonly body: ReturnBody }
    | { readonly kind: "void"; readonly body: VoidBody }
    | { readonly kind: "restock"; readonly body: RestockBody }
  );

export type Sale = Extract<Command, { kind: "sale" }>;

/** Where it is posted, below /api/v2. */
export function pathOf(command: Command): string {
  const store = `/stores/${encodeURIComponent(command.store)}`;
  switch (command.kind) {
    case "sale":
      return `${store}/sales`;
    case "return":
      return `${store}/sales/${command.subject}/returns`;
    case "void":
      return `${store}/sales/${command.subject}/void`;
    case "restock":
      return "/restocks";
  }
}

/** Whether nothing more is going to happen to it by itself. */
export const isSettled = (command: Command): boolean => command.state !== "waiting" && command.state !== "accepted";
