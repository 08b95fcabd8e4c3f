/** When does a till try to send what waits? At once, when the connection comes back, and every few seconds until nothing waits. */

import type { Pause } from "./outbox";

const FIRST_MS = 1_000;
const LONGEST_MS = 15_000;

export interface Work {
  /** Send what waits; why that stopped. */
  readonly drain: () => Promise<Pause>;
  /** Ask what became of what was only confirmed; how many are still open. */
  readonly confirm: () => Promise<number>;
  /** What the last attempt came to. */
  readonly ended: (pause: Pause) => void;
}

/** Tries until nothing is left; waits longer after each failure, but never longer than 15 s unless the system asks for more. */
export class Sync {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;
  private running: Promise<void> | null = null;
  private closed = false;

  constructor(private readonly work: Work) {}

  /** Try now. `anew` forgets how often it failed before: something has changed. */
  async now(anew = false): Promise<void> {
    if (anew) this.failures = 0;
    clearTimeout(this.timer);
    if (this.closed) return;
    this.running ??= this.once().finally(() => {
      this.running = null;
    });
    await this.running;
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
  }

  private async once(): Promise<void> {
    let pause: Pause;
    let open = 0;
    try {
      pause = await this.work.drain();
      open = pause.why === "idle" ? await this.work.confirm() : 0;
    } catch {
      pause = { why: "offline" };
    }
    this.failures = pause.why === "idle" ? 0 : this.failures + 1;
    this.work.ended(pause);
    if (this.closed || (pause.why === "idle" && open === 0)) return;
    this.timer = setTimeout(() => void this.now(), delay(pause, this.failures));
  }
}

/** Milliseconds until the next attempt; a session that has ended is looked at again every 15 s, and whenever somebody signs in. */
export function delay(pause: Pause, failures: number): number {
  if (pause.why === "idle") return 2 * FIRST_MS;
  if (pause.why === "signin") return LONGEST_MS;
  const own = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.max(0, failures - 1));
  return Math.max(own, (pause.retrySeconds ?? 0) * 1_000);
}
