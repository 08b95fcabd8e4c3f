import { describe, expect, it } from "vitest";
import { uuid7 } from "./ids";

describe("an id", () => {
  it("is a UUID of version 7 that tells its millisecond", () => {
    const id = uuid7(0x0192_3456_789a);
    expect(id).toMatch(/^01923456-789a-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });
  it("is never made twice and sorts by its instant", () => {
    const made = Array.from({ length: 1000 }, () => uuid7(1));
    expect(new Set(made).size).toBe(1000);
    expect(uuid7(1) < uuid7(2)).toBe(true);
  });
});
