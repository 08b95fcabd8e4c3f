/** How old is what is on the screen, and how loudly should that be said? */

export const AMBER_SECONDS = 10;
export const RED_SECONDS = 60;

export type Freshness = "fresh" | "late" | "stale";

export interface Look {
  /** Whether changes arrive by themselves. */
  live: boolean;
  /** When the server answered or announced something last, in ms. */
  heardAt: number;
  /** By how much the server itself says that its figures are behind, in seconds. */
  lagSeconds: number;
  /** How long the last change took from its record to this screen, in seconds; null before the first. */
  tookSeconds: number | null;
}

/** By how many seconds the figures may be behind. While changes arrive, it is what the server says or what the last change took. */
export function behind(look: Look, now: number): number {
  const away = look.live ? 0 : Math.max(0, (now - look.heardAt) / 1000);
  return Math.max(look.lagSeconds + away, away === 0 && look.lagSeconds === 0 ? (look.tookSeconds ?? 0) : 0);
}

export function freshness(seconds: number): Freshness {
  if (seconds > RED_SECONDS) return "stale";
  return seconds > AMBER_SECONDS ? "late" : "fresh";
}
