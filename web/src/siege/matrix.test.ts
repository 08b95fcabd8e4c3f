import { describe, expect, it } from "vitest";
import { matrixOf, rowsFor, type Level } from "./matrix";

const level = (store_id: string, sku: string, on_hand: number, in_transit = 0): Level => ({
  store_id,
  sku,
  name: null,
  on_hand,
  in_transit,
  reorder_point: null,
  status: on_hand < 0 ? "negative" : on_hand === 0 ? "out" : "ok",
});

describe("the matrix", () => {
  const rows = matrixOf([{ sku: "B", name: null }, { sku: "A", name: null }, { sku: "C", name: null }], [
    level("1", "A", 5, 2),
    level("2", "A", -1),
    level("1", "B", 3),
    level("1", "Z", 9),
  ]);

  it("keeps the order of the search, also for what no store holds", () => {
    expect(rows.map((row) => row.sku)).toEqual(["B", "A", "C"]);
    expect(rows[2]!.cells.size).toBe(0);
  });

  it("adds up what all stores hold, what is owed included", () => {
    expect(rows[1]).toMatchObject({ total: 4, inTransit: 2 });
    expect(rows[1]!.cells.get("2")!.status).toBe("negative");
  });

  it("asks for as many products as one page of levels can hold", () => {
    expect([1, 12, 40, 457].map(rowsFor)).toEqual([20, 20, 12, 4]);
    expect(rowsFor(40) * 40).toBeLessThanOrEqual(500);
  });
});
