/** Which products stand where: rows of products, a column for each store. */

export interface Level {
  store_id: string;
  sku: string;
  name: { fr: string; en: string } | null;
  on_hand: number;
  in_transit: number | null;
  reorder_point: number | null;
  status: "ok" | "low" | "out" | "negative";
}

export interface MatrixRow {
  sku: string;
  name: Level["name"];
  cells: Map<string, Level>;
  total: number;
  inTransit: number;
}

const MOST_CELLS = 500;
const FEWEST_ROWS = 4;
const MOST_ROWS = 20;

/** How many products are looked at at once, so that one page of levels holds all their cells. */
export const rowsFor = (stores: number): number => Math.min(MOST_ROWS, Math.max(FEWEST_ROWS, Math.floor(MOST_CELLS / Math.max(1, stores))));

/** The rows in the order of `skus`, the order of the search; what no store holds is there, too. */
export function matrixOf(products: readonly { sku: string; name: Level["name"] }[], levels: readonly Level[]): MatrixRow[] {
  const rows = new Map(products.map(({ sku, name }) => [sku, { sku, name, cells: new Map<string, Level>(), total: 0, inTransit: 0 }]));
  for (const level of levels) {
    const row = rows.get(level.sku);
    if (!row) continue;
    row.cells.set(level.store_id, level);
    row.total += level.on_hand;
    row.inTransit += level.in_transit ?? 0;
  }
  return [...rows.values()];
}
