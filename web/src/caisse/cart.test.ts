import { describe, expect, it } from "vitest";
import { EMPTY, MOST_LINES, remembering, totalOf, unitsOf, withProduct, withQuantity } from "./cart";
import { centsOf, decimalOf, inCash, likely, typed } from "./money";
import type { Product } from "./products";

function product(sku: string, price: string): Product {
  return { sku, name: { fr: sku, en: sku }, category: { fr: "", en: "" }, price, barcode: null, active: true };
}

describe("a cart", () => {
  const cart = withProduct(withProduct(EMPTY, product("A", "0.10"), 3), product("B", "2.99"));

  it("adds to the line that is there", () => {
    expect(withProduct(cart, product("A", "0.10")).map((line) => [line.sku, line.quantity])).toEqual([["A", 4], ["B", 1]]);
  });

  it("counts in cents", () => {
    expect(totalOf(cart)).toBe(329);
    expect(unitsOf(cart)).toBe(4);
  });

  it("loses a line of which there is none left", () => {
    expect(withQuantity(cart, "A", 0).map((line) => line.sku)).toEqual(["B"]);
    expect(withQuantity(cart, "A", 7)[0]?.quantity).toBe(7);
  });

  it("never changes: the one before is still there to go back to", () => {
    const past = remembering([], cart);
    withQuantity(cart, "A", 0);
    expect(totalOf(past[0]!)).toBe(329);
    expect(Array.from({ length: 99 }).reduce<readonly unknown[]>((steps) => remembering(steps as never, cart), [])).toHaveLength(50);
  });

  it("takes no more lines than a sale can have", () => {
    let full = EMPTY;
    for (let n = 0; n <= MOST_LINES; n += 1) full = withProduct(full, product(`S${n}`, "1.00"));
    expect(full).toHaveLength(MOST_LINES);
  });
});

describe("money", () => {
  it("goes from decimals to cents and back", () => {
    for (const text of ["0.00", "0.05", "2.99", "1234567890.10"]) expect(decimalOf(centsOf(text))).toBe(text);
    expect(decimalOf(-5)).toBe("-0.05");
    expect(() => centsOf("abc")).toThrow(RangeError);
  });

  it("is read as people type it", () => {
    expect([typed("20"), typed("20,5"), typed("1 234.50 $"), typed(" 7. ")]).toEqual([2000, 2050, 123450, 700]);
    expect([typed(""), typed("-5"), typed("1.234"), typed("vingt")]).toEqual([null, null, null, null]);
  });

  it("is rounded to the smallest coin, in cash only where there are no cents", () => {
    expect([1297, 1298, 1300].map((total) => inCash(total, "CAD"))).toEqual([1295, 1300, 1300]);
    expect(inCash(1297, "EUR")).toBe(1297);
  });

  it("is handed over in likely amounts", () => {
    expect(likely(1295)).toEqual([1295, 1500, 2000, 5000]);
    expect(likely(2000)).toEqual([2000, 5000, 10000]);
  });
});
