import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Pause } from "./outbox";
import { delay, Sync } from "./sync";

const OFFLINE: Pause = { why: "offline" };
const IDLE: Pause = { why: "idle" };

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("trying again", () => {
  it("goes on until nothing waits, and rests then", async () => {
    const pauses = [OFFLINE, OFFLINE, IDLE];
    const drain = vi.fn(async () => pauses.shift() ?? IDLE);
    const sync = new Sync({ drain, confirm: async () => 0, ended: () => undefined });
    await sync.now();
    await vi.advanceTimersByTimeAsync(999);
    expect(drain).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(drain).toHaveBeenCalledTimes(2);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(drain).toHaveBeenCalledTimes(3);
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(drain).toHaveBeenCalledTimes(3);
  });

  it("asks again for what is open", async () => {
    const left = [2, 0];
    const confirm = vi.fn(async () => left.shift() ?? 0);
    const sync = new Sync({ drain: async () => IDLE, confirm, ended: () => undefined });
    await sync.now();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(confirm).toHaveBeenCalledTimes(2);
  });

  it("survives a storage that fails, and stops when closed", async () => {
    const told: Pause[] = [];
    const drain = vi.fn(async () => Promise.reject(new Error("broken")));
    const sync = new Sync({ drain, confirm: async () => 0, ended: (pause) => told.push(pause) });
    await sync.now();
    expect(told).toEqual([OFFLINE]);
    sync.close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(drain).toHaveBeenCalledTimes(1);
  });

  it("waits longer each time, at most 15 s, and as long as the system asks", () => {
    expect([1, 2, 3, 4, 5, 9].map((failures) => delay(OFFLINE, failures))).toEqual([1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
    expect(delay({ why: "busy", retrySeconds: 30 }, 1)).toBe(30_000);
    expect(delay({ why: "signin" }, 1)).toBe(15_000);
  });
});
