import { describe, expect, it } from "vitest";
import { cents, changeOf, changesOf, stillToCome, tone, totalOf } from "./figures";

const row = (store_id: string, revenue: string, sales: number, refunded = "0.00") => ({
  store_id,
  revenue,
  sales,
  refunded,
  average_basket: null,
  units: sales * 2,
  returns: refunded === "0.00" ? 0 : 1,
  stock_outs: 3,
});

describe("money", () => {
  it("is counted in whole cents, so a thousand dimes make a hundred dollars", () => {
    expect(cents("-12.05")).toBe(-1205);
    expect(cents("7")).toBe(700);
    expect(totalOf(Array.from({ length: 1000 }, () => row("a", "0.10", 1))).revenue).toBe(10_000);
  });

  it("is never guessed", () => {
    for (const no of ["", "1,50", "1.505", "NaN"]) expect(() => cents(no)).toThrow(RangeError);
  });
});

describe("the whole chain", () => {
  it("has the basket of all sales, before refunds", () => {
    const found = totalOf([row("a", "100.00", 1), row("b", "10.00", 9, "5.00")]);
    expect(found).toEqual({ revenue: 11_000, sales: 10, average_basket: 1150, units: 20, returns: 1, stock_outs: 6 });
  });

  it("has no basket without a sale", () => {
    expect(totalOf([]).average_basket).toBeNull();
  });
});

describe("a comparison of a day that runs", () => {
  const order = Array.from({ length: 24 }, (_, hour) => hour);
  const hours = (...sales: number[]) => sales.map((each, place) => ({ hour: place + 9, sales: each, units: each, revenue: `${each}.00` }));
  const whole = (sales: number) => totalOf([row("a", `${sales}.00`, sales)]);

  it("takes the full hours of both days", () => {
    const running = { now: stillToCome(hours(4, 1), 10, order), before: stillToCome(hours(2, 5, 3), 10, order) };
    expect(running.before.sales).toBe(8);
    const found = changesOf(whole(5), whole(10), running);
    expect(found.sales).toEqual({ now: 4, before: 2, percent: 100 });
    expect(found.revenue.percent).toBe(100);
    expect(found.returns).toEqual({ now: 0, before: 0, percent: null });
  });

  it("takes everything when the period is over", () => {
    expect(changesOf(whole(5), whole(10), null).sales).toEqual({ now: 5, before: 10, percent: -50 });
  });

  it("knows that the hours after midnight come last where the day ends late", () => {
    const late = [...order.slice(3), ...order.slice(0, 3)];
    const found = stillToCome([{ hour: 1, sales: 1, units: 1, revenue: "1.00" }, { hour: 12, sales: 5, units: 5, revenue: "5.00" }], 23, late);
    expect(found.sales).toBe(1);
  });
});

describe("a change", () => {
  it("of nothing is no number", () => {
    expect(changeOf(3, 0).percent).toBeNull();
    expect(changeOf(null, 4).percent).toBeNull();
  });

  it("is good or bad by what it is of", () => {
    expect([tone("revenue", 2), tone("revenue", -2), tone("returns", 2), tone("stock_outs", -1), tone("sales", 0), tone("sales", null)]).toEqual([
      "good",
      "bad",
      "bad",
      "good",
      "even",
      "even",
    ]);
  });
});
