import { describe, expect, it } from "vitest";
import { countOf, dropDraft, keepDraft, readDraft } from "./draft";

describe("a draft", () => {
  it("is there again after the page was closed, for its own store only", () => {
    keepDraft("plateau", { count_id: "c", lines: { A: { counted: 3, counted_at: "2026-11-22T10:00:00Z" } } });
    expect(readDraft("plateau")?.lines["A"]?.counted).toBe(3);
    expect(readDraft("rosemont")).toBeNull();
    dropDraft("plateau");
    expect(readDraft("plateau")).toBeNull();
  });
  it("that is damaged counts as none", () => {
    localStorage.setItem("magasin.count.plateau", "{");
    expect(readDraft("plateau")).toBeNull();
  });
  it("takes whole numbers only", () => {
    expect(countOf("12")).toBe(12);
    expect(countOf("0")).toBe(0);
    for (const wrong of ["", "-1", "1.5", "x", "123456789"]) expect(countOf(wrong)).toBeNull();
  });
});
