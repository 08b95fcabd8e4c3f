/** How much is that? Sums are whole cents inside the till, so that 0.1 + 0.2 is never asked; decimal strings outside. */

export type Cents = number;

/** Currencies whose smallest coin is five cents: what is paid in cash is rounded to it. */
const FIVE_CENT_COINS = new Set(["CAD", "CHF"]);
const NOTES: readonly Cents[] = [500, 1_000, 2_000, 5_000, 10_000];
/** Ten digits before the point are the most that the API takes for a sum. */
const TYPED = /^(\d{1,10})(?:[.,](\d{0,2}))?$/;

/** "12.50" → 1250. Throws for what isn't an amount. */
export function centsOf(decimal: string): Cents {
  const found = typed(decimal);
  if (found === null) throw new RangeError(`not an amount: ${decimal}`);
  return found;
}

/** What somebody typed ("20", "20,5", " 1 234.50 $") in cents; null when it is no amount. */
export function typed(text: string): Cents | null {
  const found = TYPED.exec(text.replace(/[\s$€\u00a0\u202f]/g, ""));
  return found === null ? null : Number(found[1]) * 100 + Number((found[2] ?? "").padEnd(2, "0"));
}

/** 1250 → "12.50", as the API wants it. */
export function decimalOf(cents: Cents): string {
  const sign = cents < 0 ? "-" : "";
  const digits = String(Math.abs(cents)).padStart(3, "0");
  return `${sign}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

/** What is asked for in cash: the total, rounded to the smallest coin. */
export function inCash(total: Cents, currency: string): Cents {
  return FIVE_CENT_COINS.has(currency) ? Math.round(total / 5) * 5 : total;
}

/** What a customer is likely to hand over: the exact sum, then what the fewest notes make, smallest first. At most four. */
export function likely(due: Cents): Cents[] {
  const rounded = NOTES.map((note) => Math.ceil(due / note) * note);
  return [...new Set([due, ...rounded])].sort((one, other) => one - other).slice(0, 4);
}
