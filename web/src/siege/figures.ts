/** What do the rows of the reports add up to, and how does that compare? Money is counted in whole cents, so that every sum is exact. */

/** A row of `store-performance`, as far as the page reads it. */
export interface StoreRow {
  store_id: string;
  revenue: string;
  sales: number;
  average_basket: string | null;
  units: number;
  returns: number;
  refunded: string;
  stock_outs: number;
}

/** A row of `hourly-sales`, by hour or by day. */
export interface TimeRow {
  hour?: number;
  business_date?: string;
  sales: number;
  units: number;
  revenue: string;
}

export const KPIS = ["revenue", "sales", "average_basket", "units", "returns", "stock_outs"] as const;
export type Kpi = (typeof KPIS)[number];

/** Figures of a period: money in cents; null where there is nothing to divide by. */
export type Totals = Record<Kpi, number | null> & { revenue: number; sales: number; units: number };

/** "12.50" as 1250, exactly. */
export function cents(amount: string): number {
  const [, sign, whole, part = ""] = /^(-?)(\d+)(?:\.(\d{1,2}))?$/.exec(amount) ?? [];
  if (whole === undefined) throw new RangeError(`not an amount: ${amount}`);
  return (sign ? -1 : 1) * (Number(whole) * 100 + Number(part.padEnd(2, "0")));
}

/** 1250 as 12.5, to be shown. */
export const units = (inCents: number): number => inCents / 100;

/** Halves away from zero, as the reports round. */
const rounded = (value: number): number => Math.sign(value) * Math.round(Math.abs(value));

/** The whole chain, or the stores that the rows are of. The average basket is that of all sales, never the average of averages. */
export function totalOf(rows: readonly StoreRow[]): Totals {
  const sum = (of: (row: StoreRow) => number) => rows.reduce((found, row) => found + of(row), 0);
  const revenue = sum((row) => cents(row.revenue));
  const sales = sum((row) => row.sales);
  return {
    revenue,
    sales,
    average_basket: sales === 0 ? null : rounded((revenue + sum((row) => cents(row.refunded))) / sales),
    units: sum((row) => row.units),
    returns: sum((row) => row.returns),
    stock_outs: sum((row) => row.stock_outs),
  };
}

/** What the hours of one day bring that have not begun yet at `hour`: the part of an earlier day that today cannot have. */
export function stillToCome(rows: readonly TimeRow[], hour: number, order: readonly number[]): { revenue: number; sales: number; units: number } {
  const place = order.indexOf(hour);
  const later = rows.filter((row) => row.hour !== undefined && order.indexOf(row.hour) >= place);
  return {
    revenue: later.reduce((sum, row) => sum + cents(row.revenue), 0),
    sales: later.reduce((sum, row) => sum + row.sales, 0),
    units: later.reduce((sum, row) => sum + row.units, 0),
  };
}

export interface Change {
  now: number | null;
  before: number | null;
  /** In percent; null where there was nothing to compare with. */
  percent: number | null;
}

/** How much a figure has changed, to one decimal. */
export function changeOf(now: number | null, before: number | null): Change {
  const percent = now === null || before === null || before === 0 ? null : Math.round((1000 * (now - before)) / Math.abs(before)) / 10;
  return { now, before, percent };
}

/**
 * How each figure of a period has changed. While its last day runs, what is added up over the hours is compared up to the last full hour on
 * both sides; what has no hours (baskets, returns) with the whole.
 */
export function changesOf(
  now: Totals,
  before: Totals,
  running: { now: ReturnType<typeof stillToCome>; before: ReturnType<typeof stillToCome> } | null,
): Record<Exclude<Kpi, "stock_outs">, Change> {
  const byHour = (name: "revenue" | "sales" | "units") =>
    changeOf(now[name] - (running?.now[name] ?? 0), before[name] - (running?.before[name] ?? 0));
  return {
    revenue: byHour("revenue"),
    sales: byHour("sales"),
    units: byHour("units"),
    average_basket: changeOf(now.average_basket, before.average_basket),
    returns: changeOf(now.returns, before.returns),
  };
}

/** Whether more of it is good, bad, or neither. */
export const WELCOME: Record<Kpi, 1 | -1> = { revenue: 1, sales: 1, average_basket: 1, units: 1, returns: -1, stock_outs: -1 };

/** A change that means nothing is neither good nor bad. */
export function tone(kpi: Kpi, percent: number | null): "good" | "bad" | "even" {
  if (percent === null || percent === 0) return "even";
  return percent > 0 === WELCOME[kpi] > 0 ? "good" : "bad";
}
