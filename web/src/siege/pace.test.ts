import { beforeEach, describe, expect, it } from "vitest";
import { Pace, type PaceClock } from "./pace";

let at = 0;
let timers: { at: number; then: () => void }[] = [];
let readings: { at: number; done: () => void }[] = [];

const clock: PaceClock = {
  now: () => at,
  after: (ms, then) => {
    const timer = { at: at + ms, then };
    timers.push(timer);
    return () => void (timers = timers.filter((each) => each !== timer));
  },
};

const made = () => new Pace(() => new Promise<void>((done) => readings.push({ at, done })), clock);

async function advance(to: number): Promise<void> {
  for (;;) {
    const next = timers.filter((each) => each.at <= to).sort((one, other) => one.at - other.at)[0];
    if (!next) break;
    timers = timers.filter((each) => each !== next);
    at = next.at;
    next.then();
    await Promise.resolve();
  }
  at = to;
}

async function finish(took: number): Promise<void> {
  await advance(at + took);
  readings.at(-1)!.done();
  await new Promise((resolve) => setTimeout(resolve));
}

beforeEach(() => {
  at = 0;
  timers = [];
  readings = [];
});

describe("a card", () => {
  it("is read at once when something changed", () => {
    made().touch();
    expect(readings.map((each) => each.at)).toEqual([0]);
  });

  it("is read once more when it changed while it was read, and only once", async () => {
    const pace = made();
    pace.touch();
    pace.touch();
    pace.touch();
    await finish(50);
    await advance(10_000);
    expect(readings.map((each) => each.at)).toEqual([0, 400]);
  });

  it("leaves a slow server three times as long alone", async () => {
    const pace = made();
    pace.touch();
    pace.touch();
    await finish(1_000);
    await advance(60_000);
    expect(readings[1]!.at).toBe(4_000);
  });

  it("never waits longer than fifteen seconds", async () => {
    const pace = made();
    pace.touch();
    await finish(14_000);
    pace.touch();
    await advance(60_000);
    expect(readings[1]!.at).toBe(15_000);
  });

  it("that could not be read is tried again after a while", async () => {
    const pace = made();
    pace.touch();
    at = 100;
    pace.again();
    await finish(0);
    await advance(60_000);
    expect(readings.map((each) => each.at)).toEqual([0, 5_100]);
  });

  it("waits while nobody looks, and is read when somebody does", async () => {
    const pace = made();
    pace.hold(true);
    pace.touch();
    await advance(60_000);
    expect(readings).toEqual([]);
    pace.hold(false);
    expect(readings).toHaveLength(1);
  });

  it("does not read what nobody looks at any more when its wait ends", async () => {
    const pace = made();
    pace.touch();
    await finish(10);
    pace.touch();
    pace.hold(true);
    await advance(60_000);
    expect(readings).toHaveLength(1);
    pace.hold(false);
    expect(readings).toHaveLength(2);
  });

  it("is never read again after it was left", async () => {
    const pace = made();
    pace.touch();
    pace.touch();
    pace.stop();
    await finish(10);
    await advance(60_000);
    expect(readings).toHaveLength(1);
  });
});
