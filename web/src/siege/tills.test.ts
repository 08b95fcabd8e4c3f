import { describe, expect, it } from "vitest";
import { isSilent, toLookAfter, voices, type Till } from "./tills";

const till = (store_id: string, till_id: string, heard: string | null, silent: boolean, missing = 0): Till => ({
  store_id,
  till_id,
  missing,
  gaps: [],
  last_sale_at: null,
  last_heard_at: heard,
  silent,
});

const TILLS = [
  till("1", "a", "2026-11-22T10:00:00Z", true),
  till("1", "b", "2026-11-22T12:00:00Z", false, 2),
  till("2", "c", "2026-11-21T12:00:00Z", true),
  till("2", "d", null, true, 5),
];

describe("a store", () => {
  it("was heard when the latest of its tills was", () => {
    expect(voices(TILLS).get("1")).toEqual({ heardAt: "2026-11-22T12:00:00Z", silent: 1, tills: 2, missing: 2 });
  });

  it("was heard when it announced a sale, also one that names no till", () => {
    const found = voices(TILLS, new Map([["1", "2026-11-22T13:00:00Z"], ["9", "2026-11-22T13:00:00Z"]]));
    expect([found.get("1")!.heardAt, found.get("1")!.tills, found.get("9")!.heardAt]).toEqual(["2026-11-22T13:00:00Z", 2, "2026-11-22T13:00:00Z"]);
    expect(isSilent(found.get("9"))).toBe(false);
  });

  it("is silent when all of its tills are, and only if it has any", () => {
    const found = voices(TILLS);
    expect([isSilent(found.get("1")), isSilent(found.get("2")), isSilent(found.get("centre"))]).toEqual([false, true, false]);
  });
});

describe("the tills to look after", () => {
  it("are those that owe most, then those that were heard from longest ago", () => {
    expect(toLookAfter([...TILLS, till("3", "e", "2026-11-22T12:00:00Z", false)]).map((each) => each.till_id)).toEqual(["d", "b", "c", "a"]);
  });
});
