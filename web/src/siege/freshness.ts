/** How old is what is on the screen, and how loudly should that be said? */

export const AMBER_SECONDS = 10;
export const RED_SECONDS = 60;

export type Freshness = "fresh" | "late" | "stale";

export interface Look {
  /** When changes were known to arrive last, in ms: now, while they do. */
  aliveAt: number;
  /** Since when a change is known here that the figures do not have, in ms; null when they have all. */
  missingSince: number | null;
  /** By how much the server itself says that its figures are behind, in seconds. */
  lagSeconds: number;
  /** How long the last change took from its announcement to this screen, in seconds; null before the first. */
  tookSeconds: number | null;
}

/** By how many seconds the figures may be behind. While nothing is missing, it is what the last change took. */
export function behind(look: Look, now: number): number {
  const missed = Math.max(0, now - Math.min(look.aliveAt, look.missingSince ?? now)) / 1000;
  if (missed > 0 || look.lagSeconds > 0) return missed + look.lagSeconds;
  // What took long has arrived since: the figures are not late any more.
  return look.tookSeconds !== null && look.tookSeconds <= AMBER_SECONDS ? look.tookSeconds : 0;
}

export function freshness(seconds: number): Freshness {
  if (seconds > RED_SECONDS) return "stale";
  return seconds > AMBER_SECONDS ? "late" : "fresh";
}
