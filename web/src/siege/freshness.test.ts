import { describe, expect, it } from "vitest";
import { behind, freshness } from "./freshness";

const NOW = 3_600_000;
const LOOK = { aliveAt: NOW, missingSince: null, lagSeconds: 0, tookSeconds: 0.8 };

describe("how far the figures are behind", () => {
  it("is what the last change took while changes arrive, however long ago it was", () => {
    expect(behind(LOOK, NOW)).toBe(0.8);
    expect(behind({ ...LOOK, tookSeconds: null }, NOW)).toBe(0);
  });

  it("is forgotten once what took long has arrived", () => {
    expect(behind({ ...LOOK, tookSeconds: 28 }, NOW)).toBe(0);
  });

  it("is what the server says when its projections are behind", () => {
    expect(behind({ ...LOOK, lagSeconds: 12 }, NOW)).toBe(12);
  });

  it("grows while nothing can arrive, and while something announced cannot be read", () => {
    expect(behind({ ...LOOK, aliveAt: NOW - 30_000 }, NOW)).toBe(30);
    expect(behind({ ...LOOK, missingSince: NOW - 20_000 }, NOW)).toBe(20);
    expect(behind({ ...LOOK, aliveAt: NOW - 30_000, missingSince: NOW - 20_000, lagSeconds: 5 }, NOW)).toBe(35);
  });

  it("is amber beyond ten seconds and red beyond sixty", () => {
    expect([10, 10.1, 60, 60.1].map(freshness)).toEqual(["fresh", "late", "late", "stale"]);
  });
});
