import { describe, expect, it } from "vitest";
import { onTheWay, quantityFor, stepsOf, UnderWay, urgency, type Alert, type Restock } from "./restocking";

const ALERT: Alert = {
  store_id: "292",
  sku: "A",
  name: null,
  on_hand: 0,
  reorder_point: null,
  target_level: null,
  status: "out",
  units_28_days: 0,
  days_left: null,
};
const LINE = { sku: "A", name: null, requested: 5, approved: 5, shipped: 5, received: 2, damaged: 1, missing: 0 };

const restock = (restock_id: string, status: Restock["status"]): Restock => ({
  restock_id,
  status,
  from_store: "centre",
  to_store: "292",
  requested_by: "gestionnaire",
  requested_at: "2026-11-22T12:00:00Z",
  note: null,
  reason: null,
  lines: [LINE],
});

describe("what is under way", () => {
  it("is the restock that is furthest", () => {
    const found = new UnderWay([restock("1", "requested"), restock("2", "shipped"), restock("3", "approved")]);
    expect(found.of("292", "A")?.restock_id).toBe("2");
    expect(found.of("292", "B")).toBeNull();
    expect(found.of("321", "A")).toBeNull();
  });

  it("is nothing that is over", () => {
    expect(new UnderWay([restock("1", "received"), restock("2", "rejected"), restock("3", "cancelled")]).of("292", "A")).toBeNull();
  });
});

describe("what to ask for", () => {
  it("fills up to the shop's target, and makes good what was sold too much", () => {
    expect(quantityFor({ ...ALERT, target_level: 12, on_hand: -2 })).toBe(14);
  });

  it("is what fourteen days sell where nobody has set a target", () => {
    expect(quantityFor({ ...ALERT, units_28_days: 9, on_hand: 1 })).toBe(4);
  });

  it("lifts the stock above the reorder point, and is never nothing", () => {
    expect(quantityFor({ ...ALERT, reorder_point: 10, on_hand: 10, target_level: 5 })).toBe(1);
    expect(quantityFor({ ...ALERT, units_28_days: -3 })).toBe(1);
  });
});

describe("urgency", () => {
  it("is about what somebody would buy", () => {
    expect(urgency({ ...ALERT, units_28_days: 4 })).toBe("gone");
    expect(urgency(ALERT)).toBe("still");
    expect(urgency({ ...ALERT, on_hand: 3, days_left: 6.9, units_28_days: 12 })).toBe("soon");
    expect(urgency({ ...ALERT, on_hand: 3, days_left: 7, units_28_days: 12 })).toBe("later");
  });
});

describe("a restock", () => {
  it("offers only the steps that can follow", () => {
    expect(stepsOf("requested")).toContain("approve");
    expect(stepsOf("approved")).toEqual(["ship", "cancel"]);
    expect(stepsOf("partially_received")).toEqual(["receive"]);
    expect(stepsOf("received")).toEqual([]);
  });

  it("has on the way what has left and did not come", () => {
    expect(onTheWay(LINE)).toBe(2);
    expect(onTheWay({ ...LINE, received: 9 })).toBe(0);
  });
});
