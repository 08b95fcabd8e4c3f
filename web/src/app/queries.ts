import { QueryClient } from "@tanstack/vue-query";
import type { Query } from "@tanstack/vue-query";
import { Problem } from "./problem";

/** Reads only. A query with `meta: { live: true }` is read anew whenever something was recorded; with a list, only after those types. */
export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      networkMode: "always",
      staleTime: 5_000,
      gcTime: 15 * 60_000,
      refetchOnWindowFocus: true,
      retry: (failures, error) => error instanceof Problem && error.passing && !error.offline && failures < 2,
      retryDelay: (failures, error) => ((error instanceof Problem && error.retryAfterSeconds) || 1 + failures) * 1000,
    },
  },
});

/** Reads anew what is on the screen and chosen. A first answer that is on its way may have been asked for before the change: it is read twice. */
export function readAnew(chosen: (query: Query) => boolean): void {
  const first = queries.getQueryCache().findAll({ predicate: chosen, fetchStatus: "fetching" }).filter(({ state }) => state.data === undefined);
  void queries.invalidateQueries({ predicate: chosen });
  for (const { promise, queryHash } of first) {
    void promise?.catch(() => undefined).then(() => queries.invalidateQueries({ predicate: (query) => query.queryHash === queryHash }));
  }
}

/** What every list and report answers; the page knows its rows. */
export interface Listed<Row> {
  items: Row[];
  meta: Meta;
}

export interface Meta {
  as_of: string;
  lag_seconds: number;
  complete: boolean;
  stalled_stores: string[];
  timezone: string;
  [further: string]: unknown;
}

/** Says of which shape the rows are that a generated call answers: `rows<Product>(searchProducts({ query }))`. */
export const rows = async <Row>(call: Promise<unknown>): Promise<Listed<Row>> => (await call) as Listed<Row>;

/** The same for one thing. */
export const one = async <Thing>(call: Promise<unknown>): Promise<Thing & { meta: Meta }> => (await call) as Thing & { meta: Meta };
