/** What stands on a receipt, and how is a sale called by people? */

import type { FarSaleDetail } from "./sending";
import type { Command, Sale } from "./commands";
import { type Cents, centsOf, inCash } from "./money";
import type { Bilingual } from "./products";

export interface Receipt {
  readonly id: string;
  readonly number: string;
  readonly store: string;
  readonly at: string;
  readonly by: string;
  readonly lines: readonly ReceiptLine[];
  readonly total: Cents;
  readonly method: "cash" | "card" | "other" | null;
  readonly tendered: Cents | null;
  readonly due: Cents;
  readonly change: Cents;
  readonly voided: boolean;
}

export interface ReceiptLine {
  readonly sku: string;
  readonly name: Bilingual;
  readonly quantity: number;
  readonly unitPrice: Cents;
  readonly total: Cents;
}

/** "292-3F9A-00012": the store, the till, the till's number of the sale. Without these, the end of the id. */
export function numberOf(store: string, till: string | null, seq: number | null, id: string): string {
  if (till === null || seq === null) return `${store}-${id.slice(-8).toUpperCase()}`;
  return `${store}-${till.slice(-4).toUpperCase()}-${String(seq).padStart(5, "0")}`;
}

export const numberOfSale = (sale: Sale): string => numberOf(sale.store, sale.body.till_id, sale.body.till_seq, sale.id);

/** The receipt of a sale of this till; `after` is what was said about it since. */
export function receiptOf(sale: Sale, currency: string, after: readonly Command[] = []): Receipt {
  const lines = sale.body.lines.map((line) => {
    const unitPrice = centsOf(line.unit_price);
    return { sku: line.sku, name: named(sale.names, line.sku), quantity: line.quantity, unitPrice, total: unitPrice * line.quantity };
  });
  const { method, tendered } = sale.body.payment;
  const voided = sale.state === "abandoned" || after.some((each) => each.kind === "void" && each.state !== "refused");
  return paid({ id: sale.id, number: numberOfSale(sale), store: sale.store, at: sale.body.occurred_at, by: sale.by, lines, voided }, method, tendered ?? null, currency);
}

/** The receipt of a sale as headquarters knows it. */
export function receiptOfFar(sale: FarSaleDetail, store: string, currency: string, nameOf: (sku: string) => Bilingual): Receipt {
  const lines = sale.lines.map((line) => {
    const unitPrice = centsOf(line.unit_price);
    const total = line.line_total === undefined || line.line_total === null ? unitPrice * line.quantity : centsOf(line.line_total);
    return { sku: line.sku, name: nameOf(line.sku), quantity: line.quantity, unitPrice, total };
  });
  const head = { id: sale.sale_id, number: numberOf(store, sale.till_id, sale.till_seq, sale.sale_id), store, at: sale.occurred_at, by: sale.actor };
  const method = (sale.payment?.method ?? null) as Receipt["method"];
  return paid({ ...head, lines, voided: sale.status === "voided" }, method, sale.payment?.tendered ?? null, currency);
}

export function named(names: Readonly<Record<string, Bilingual>>, sku: string): Bilingual {
  return names[sku] ?? { fr: sku, en: sku };
}

type Unpaid = Omit<Receipt, "total" | "method" | "tendered" | "due" | "change">;

function paid(sale: Unpaid, method: Receipt["method"], tendered: string | null, currency: string): Receipt {
  const total = sale.lines.reduce((sum, line) => sum + line.total, 0);
  const due = method === "cash" ? inCash(total, currency) : total;
  const given = tendered === null ? null : centsOf(tendered);
  return { ...sale, total, method, tendered: given, due, change: Math.max(0, (given ?? due) - due) };
}

/** How many of each SKU may still come back: what was sold, less what came back and wasn't refused. */
export function returnable(sale: Sale, after: readonly Command[]): Map<string, number> {
  const left = new Map<string, number>();
  for (const line of sale.body.lines) left.set(line.sku, (left.get(line.sku) ?? 0) + line.quantity);
  for (const each of after) {
    if (each.kind !== "return" || each.state === "refused" || each.state === "abandoned") continue;
    for (const line of each.body.lines) left.set(line.sku, (left.get(line.sku) ?? 0) - line.quantity);
  }
  return left;
}
