/** What does somebody at the till do? Sell, take back, undo, ask for goods: each becomes a command that is kept before anything is sent. */

import type { Cart } from "./cart";
import type { Command, ReturnLine, Sale } from "./commands";
import { type Cents, decimalOf } from "./money";
import type { Drafted, Numbers } from "./outbox";
import type { Bilingual, Product } from "./products";
import { syncNow } from "./opening";
import { CART, cashier, clearCart, instant, till, works } from "./till";

export interface Paid {
  readonly method: "cash" | "card";
  readonly tendered: Cents | null;
}

type Named = Readonly<Record<string, Bilingual>>;

/** Sell what is in the cart, and begin a new one. Throws StorageFullError: then nothing is sold and the cart is still there. */
export async function sell(paid: Paid): Promise<Sale> {
  const cart = till.cart;
  const payment = paid.tendered === null ? { method: paid.method } : { method: paid.method, tendered: decimalOf(paid.tendered) };
  const kept = await kindOf("sale", (numbers, at) => {
    const body = { sale_id: numbers.id, till_id: numbers.tillId, till_seq: numbers.tillSeq, occurred_at: at, lines: linesOf(cart), payment };
    return { ...told(namesOf(cart)), kind: "sale", body };
  }, CART);
  clearCart();
  for (const line of cart) works.value?.levels.move(line.sku, -line.quantity);
  till.edition++;
  return kept as Sale;
}

/**
 * Sell again what a rule has refused: a sale of its own, since the refused one is in the log as it is and would be refused for ever.
 * `anyway` sells more than there is.
 */
export async function sellAgain(sale: Sale, anyway: boolean): Promise<Sale> {
  const kept = await kindOf("sale", (numbers, at) => {
    const again = { ...sale.body, sale_id: numbers.id, till_id: numbers.tillId, till_seq: numbers.tillSeq, occurred_at: at };
    return { ...told(sale.names), kind: "sale", body: anyway ? { ...again, if_insufficient: "allow" } : again };
  });
  await works.value?.outbox.abandon(sale.id);
  return kept as Sale;
}

/** Undo a sale: one that was refused is only given up, since it never was. */
export async function voidSale(subject: string, reason: string, local: Sale | null): Promise<void> {
  if (local?.state === "refused") {
    await works.value?.outbox.abandon(local.id);
    return;
  }
  await kindOf("void", ({ id }, at) => ({
    ...told(local?.names ?? {}),
    kind: "void",
    subject,
    body: { void_id: id, occurred_at: at, reason },
  }));
}

/** Take goods of a sale back. */
export async function takeBack(subject: string, reason: string, lines: readonly ReturnLine[], names: Named): Promise<void> {
  await kindOf("return", ({ id }, at) => ({
    ...told(names),
    kind: "return",
    subject,
    body: { return_id: id, occurred_at: at, reason, lines },
  }));
  for (const line of lines) if (line.condition === "resellable") works.value?.levels.move(line.sku, line.quantity);
  till.edition++;
}

/** Ask the store's logistics centre for more of a product. */
export async function askFor(product: Product, quantity: number, note: string): Promise<void> {
  await kindOf("restock", ({ id }, at) => {
    const lines = [{ sku: product.sku, quantity }];
    const said = note.trim() === "" ? {} : { note: note.trim() };
    const body = { restock_id: id, occurred_at: at, to_store: storeId(), lines, ...said };
    return { ...told({ [product.sku]: product.name }), kind: "restock", body };
  });
}

/** Whether a rule has decided: under the same id the answer stays the same. */
export const isDecided = (command: Command): boolean => command.problem?.status === 409;

/** Try a refused command again, under its id. */
export async function retry(command: Command): Promise<void> {
  await works.value?.outbox.retry(command.id);
  syncNow();
}

async function kindOf(kind: Command["kind"], make: (numbers: Numbers, at: string) => Drafted, instead: string | null = null): Promise<Command> {
  if (works.value === null) throw new Error("the till is not open");
  const at = instant();
  const kept = await works.value.outbox.keep(storeId(), kind, (numbers) => make(numbers, at), instead);
  syncNow();
  return kept;
}

function told(names: Named): { store: string; madeAt: string; by: string; names: Named } {
  const copies = Object.fromEntries(Object.entries(names).map(([sku, { fr, en }]) => [sku, { fr, en }]));
  return { store: storeId(), madeAt: instant(), by: cashier.value, names: copies };
}

function storeId(): string {
  if (till.store === null) throw new Error("the till stands nowhere");
  return till.store.store_id;
}

const namesOf = (cart: Cart): Named => Object.fromEntries(cart.map((line) => [line.sku, line.name]));

function linesOf(cart: Cart): { sku: string; quantity: number; unit_price: string }[] {
  return cart.map((line) => ({ sku: line.sku, quantity: line.quantity, unit_price: decimalOf(line.unitPrice) }));
}
