import { describe, expect, it } from "vitest";
import { concerns } from "./concern";

const change = (store_id: string, ...types: string[]) => ({ at: "2026-11-22T12:00:00Z", stores: [{ store_id, seq: 7, types }] });

describe("an announcement", () => {
  it("concerns what its types are about", () => {
    const sale = change("292", "sale.recorded");
    expect(["sales", "stock", "tills"].every((each) => concerns(sale, [each as "sales"], null))).toBe(true);
    expect(concerns(sale, ["restocks", "cases"], null)).toBe(false);
    expect(concerns(change("292", "restock.requested"), ["stock"], null)).toBe(false);
    expect(concerns(change("292", "restock.received"), ["stock"], null)).toBe(true);
  });

  it("of another store does not disturb who looks at one", () => {
    expect(concerns(change("321", "sale.recorded"), ["sales"], "292")).toBe(false);
    expect(concerns(change("292", "sale.recorded"), ["sales"], "292")).toBe(true);
  });

  it("about a restock concerns both of its stores", () => {
    expect(concerns(change("centre", "restock.shipped"), ["restocks"], "292")).toBe(true);
  });

  it("of the catalogue concerns everybody", () => {
    expect(concerns(change("siege", "product.defined"), ["catalogue"], "292")).toBe(true);
  });

  it("without types may be about anything", () => {
    expect(concerns(change("292"), ["cases"], null)).toBe(true);
  });
});
