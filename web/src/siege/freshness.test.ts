import { describe, expect, it } from "vitest";
import { behind, freshness } from "./freshness";

const LOOK = { live: true, heardAt: 0, lagSeconds: 0, tookSeconds: 0.8 };

describe("how far the figures are behind", () => {
  it("is what the last change took while changes arrive, however long ago it was", () => {
    expect(behind(LOOK, 3_600_000)).toBe(0.8);
    expect(behind({ ...LOOK, tookSeconds: null }, 3_600_000)).toBe(0);
  });

  it("is what the server says when its projections are behind", () => {
    expect(behind({ ...LOOK, lagSeconds: 12 }, 0)).toBe(12);
    expect(behind({ ...LOOK, lagSeconds: 0.2, tookSeconds: 45 }, 0)).toBe(0.2);
  });

  it("grows while nothing can arrive", () => {
    expect(behind({ ...LOOK, live: false }, 30_000)).toBe(30);
    expect(behind({ ...LOOK, live: false, lagSeconds: 5 }, 30_000)).toBe(35);
  });

  it("is amber beyond ten seconds and red beyond sixty", () => {
    expect([10, 10.1, 60, 60.1].map(freshness)).toEqual(["fresh", "late", "late", "stale"]);
  });
});
