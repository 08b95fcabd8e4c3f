import { describe, expect, it } from "vitest";
import { addressOf, nextOf } from "./pages";

describe("an address", () => {
  it("leaves out what is not asked and repeats a list", () => {
    expect(addressOf("stock", { sku: ["A", "B"], store: null, search: undefined, late: false, limit: 5 })).toBe("/api/v2/stock?sku=A&sku=B&limit=5");
    expect(addressOf("reports")).toBe("/api/v2/reports");
  });

  it("of the next page is in the Link header", () => {
    expect(nextOf('</api/v2/cases?limit=2&after=WyIyOTIiLDd9>; rel="next"')).toBe("WyIyOTIiLDd9");
    expect(nextOf(null)).toBeNull();
    expect(nextOf('</api/v2/cases>; rel="prev"')).toBeNull();
  });
});
