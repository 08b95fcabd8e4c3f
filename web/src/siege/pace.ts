/**
 * How often is a card read again? At once when something changed, then no more often than its answers allow: the next reading waits three times
 * as long as the last one took. What changes during a reading is read afterwards, so the last change is always on the screen and none piles up.
 */

export interface PaceClock {
  now(): number;
  after(ms: number, then: () => void): () => void;
}

export const BROWSER: PaceClock = {
  now: () => performance.now(),
  after: (ms, then) => {
    const timer = setTimeout(then, ms);
    return () => clearTimeout(timer);
  },
};

const LEAST_MS = 400;
const LONGEST_MS = 15_000;
const REST = 3;
const AGAIN_MS = 5_000;

export class Pace {
  private dirty = false;
  private busy = false;
  private held = false;
  private earliest = 0;
  private cancel: (() => void) | null = null;

  constructor(
    private readonly read: () => Promise<unknown>,
    private readonly clock: PaceClock = BROWSER,
  ) {}

  /** Something changed. */
  touch(): void {
    this.dirty = true;
    this.plan();
  }

  /** It could not be read: try again, but not at once. */
  again(): void {
    this.dirty = true;
    this.earliest = Math.max(this.earliest, this.clock.now() + AGAIN_MS);
    this.plan();
  }

  /** Nobody looks: what changes is read when somebody does again. */
  hold(whether: boolean): void {
    this.held = whether;
    this.plan();
  }

  /** Read nothing any more. */
  stop(): void {
    this.dirty = false;
    this.cancel?.();
    this.cancel = null;
  }

  private plan(): void {
    if (!this.dirty || this.busy || this.held || this.cancel) return;
    const wait = this.earliest - this.clock.now();
    if (wait <= 0) void this.run();
    else {
      this.cancel = this.clock.after(wait, () => {
        this.cancel = null;
        if (!this.held) void this.run();
      });
    }
  }

  private async run(): Promise<void> {
    this.dirty = false;
    this.busy = true;
    const begun = this.clock.now();
    try {
      await this.read();
    } finally {
      const took = this.clock.now() - begun;
      this.busy = false;
      this.earliest = Math.max(this.earliest, begun + Math.min(LONGEST_MS, Math.max(LEAST_MS, took * (1 + REST))));
      this.plan();
    }
  }
}
