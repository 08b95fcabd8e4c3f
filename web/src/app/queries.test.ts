import { QueryObserver } from "@tanstack/vue-query";
import { afterEach, describe, expect, it, vi } from "vitest";
import { queries, readAnew } from "./queries";

afterEach(() => queries.clear());

describe("a change that is announced", () => {
  it("is read although the first answer was still on its way", async () => {
    const answers: ((told: string) => void)[] = [];
    const ask = vi.fn(() => new Promise<string>((resolve) => answers.push(resolve)));
    const observer = new QueryObserver(queries, { queryKey: ["first"], queryFn: ask, meta: { live: true } });
    const stop = observer.subscribe(() => undefined);
    expect(ask).toHaveBeenCalledTimes(1);
    readAnew(({ meta }) => meta?.["live"] === true);
    answers[0]!("before");
    await vi.waitFor(() => expect(ask).toHaveBeenCalledTimes(2));
    answers[1]!("after");
    await vi.waitFor(() => expect(observer.getCurrentResult().data).toBe("after"));
    stop();
  });

  it("is read once where there is an answer already, and not where it doesn't matter", async () => {
    const ask = vi.fn(() => Promise.resolve("told"));
    const other = vi.fn(() => Promise.resolve("told"));
    const stops = [ask, other].map((queryFn, place) =>
      new QueryObserver(queries, { queryKey: [place], queryFn, staleTime: Infinity, meta: { live: place === 0 } }).subscribe(() => undefined));
    await vi.waitFor(() => expect(queries.isFetching()).toBe(0));
    readAnew(({ meta }) => meta?.["live"] === true);
    await vi.waitFor(() => expect(ask).toHaveBeenCalledTimes(2));
    await vi.waitFor(() => expect(queries.isFetching()).toBe(0));
    expect(other).toHaveBeenCalledTimes(1);
    for (const stop of stops) stop();
  });
});
