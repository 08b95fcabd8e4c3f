/** What is about to be sold? A cart is a value: every change makes a new one, so that taking it back is keeping the old one. */

import { type Cents, centsOf } from "./money";
import type { Bilingual, Product } from "./products";

/** The API takes 500 lines a sale, and so many of one thing. */
export const MOST_LINES = 500;
export const MOST_UNITS = 1_000_000;
const MOST_STEPS = 50;

export interface CartLine {
  readonly sku: string;
  readonly name: Bilingual;
  readonly unitPrice: Cents;
  readonly quantity: number;
}

export type Cart = readonly CartLine[];

export const EMPTY: Cart = [];

/** With so many more of a product: on its line, or on a new last one. A cart that is full stays as it is. */
export function withProduct(cart: Cart, product: Product, quantity = 1): Cart {
  const there = cart.find((line) => line.sku === product.sku);
  if (there !== undefined) return withQuantity(cart, product.sku, there.quantity + quantity);
  if (cart.length >= MOST_LINES) return cart;
  return [...cart, { sku: product.sku, name: product.name, unitPrice: centsOf(product.price), quantity: bounded(quantity) }];
}

/** With another quantity of that SKU; none takes the line away. */
export function withQuantity(cart: Cart, sku: string, quantity: number): Cart {
  if (quantity < 1) return cart.filter((line) => line.sku !== sku);
  return cart.map((line) => (line.sku === sku ? { ...line, quantity: bounded(quantity) } : line));
}

export const lineTotal = (line: CartLine): Cents => line.unitPrice * line.quantity;
export const totalOf = (cart: Cart): Cents => cart.reduce((sum, line) => sum + lineTotal(line), 0);
export const unitsOf = (cart: Cart): number => cart.reduce((sum, line) => sum + line.quantity, 0);

/** The carts before this one, latest last; so many are remembered. */
export type Past = readonly Cart[];

export function remembering(past: Past, cart: Cart): Past {
  return [...past, cart].slice(-MOST_STEPS);
}

function bounded(quantity: number): number {
  return Math.min(Math.max(1, Math.floor(quantity)), MOST_UNITS);
}
