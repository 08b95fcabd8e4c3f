import { describe, expect, it } from "vitest";
import { businessDay, dayIn, daysOf, eachDay, earlier, hourAt, hoursOfDay, isRunning, lengthOf } from "./period";

const MONTREAL = { timeZone: "America/Toronto", dayEnds: "00:00" };
const CUSTOM = { from: "2026-11-03", to: "2026-11-01" };

describe("a business day", () => {
  it("is the one of the shop, wherever the browser is", () => {
    const lateEvening = new Date("2026-11-22T04:30:00Z");
    expect(businessDay(lateEvening, MONTREAL)).toBe("2026-11-21");
    expect(businessDay(lateEvening, { ...MONTREAL, timeZone: "Asia/Tokyo" })).toBe("2026-11-22");
  });

  it("lasts until its shop closes it, also on the night when the clocks change", () => {
    const bar = { ...MONTREAL, dayEnds: "03:00" };
    expect(businessDay(new Date("2026-11-22T07:59:00Z"), bar)).toBe("2026-11-21");
    expect(businessDay(new Date("2026-11-22T08:00:00Z"), bar)).toBe("2026-11-22");
    expect(businessDay(new Date("2026-03-08T06:59:00Z"), bar)).toBe("2026-03-07");
    expect(businessDay(new Date("2026-03-08T07:30:00Z"), bar)).toBe("2026-03-08");
  });

  it("has its hours in the order in which they come", () => {
    expect(hoursOfDay("00:00")[0]).toBe(0);
    expect(hoursOfDay("03:00").slice(0, 2)).toEqual([3, 4]);
    expect(hoursOfDay("03:00").at(-1)).toBe(2);
    expect(hourAt(new Date("2026-11-22T05:10:00Z"), MONTREAL)).toBe(0);
    expect(hourAt(new Date("2026-11-22T19:10:00Z"), MONTREAL)).toBe(14);
  });
});

describe("a period", () => {
  it("is what its name says, today included", () => {
    expect(daysOf("today", "2026-11-22", CUSTOM)).toEqual({ from: "2026-11-22", to: "2026-11-22" });
    expect(daysOf("yesterday", "2026-03-01", CUSTOM)).toEqual({ from: "2026-02-28", to: "2026-02-28" });
    expect(daysOf("week", "2026-11-22", CUSTOM)).toEqual({ from: "2026-11-16", to: "2026-11-22" });
    expect(lengthOf(daysOf("month", "2026-11-22", CUSTOM))).toBe(28);
  });

  it("is put in order when its ends were typed the other way round", () => {
    expect(daysOf("custom", "2026-11-22", CUSTOM)).toEqual({ from: "2026-11-01", to: "2026-11-03" });
  });

  it("has each of its days once, also where a clock changes", () => {
    expect(eachDay({ from: "2026-10-31", to: "2026-11-02" })).toEqual(["2026-10-31", "2026-11-01", "2026-11-02"]);
  });

  it("runs while today is in it", () => {
    expect(isRunning({ from: "2026-11-16", to: "2026-11-22" }, "2026-11-22")).toBe(true);
    expect(isRunning({ from: "2026-11-16", to: "2026-11-21" }, "2026-11-22")).toBe(false);
  });
});

describe("a comparison", () => {
  const three = { from: "2026-11-20", to: "2026-11-22" };

  it("has as many days just before", () => {
    expect(earlier(three, "previous")).toEqual({ from: "2026-11-17", to: "2026-11-19" });
  });

  it("has the same weekdays", () => {
    expect(earlier(three, "week")).toEqual({ from: "2026-11-13", to: "2026-11-15" });
    expect(earlier({ from: "2026-11-13", to: "2026-11-22" }, "week")).toEqual({ from: "2026-10-30", to: "2026-11-08" });
    const year = earlier(three, "year")!;
    expect(new Date(year.from).getUTCDay()).toBe(new Date(three.from).getUTCDay());
  });

  it("can be left out", () => {
    expect(earlier(three, "none")).toBeNull();
  });
});

describe("a day in an address", () => {
  it("is taken only when the calendar has it", () => {
    expect(dayIn("2026-02-28")).toBe("2026-02-28");
    for (const no of ["2026-02-30", "2026-2-3", "today", undefined, ["2026-02-28"]]) expect(dayIn(no)).toBeNull();
  });
});
