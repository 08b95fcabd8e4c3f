/** Is the till open in another tab? One page at a time rings up sales, so that there is one cart and one order of sending. */

const NAME = "magasin-caisse";

export type Hold = "here" | "elsewhere";

/**
 * Hold the till for this page, and tell `changed` now and whenever that changes: as soon as the other page is closed it comes here by itself, and
 * `take` of another page takes it away. Without Web Locks (a page that is neither https nor localhost) it always is here: numbers and ids stay
 * right all the same, since the storage gives them in transactions.
 */
export class TillLock {
  private release: () => void = () => undefined;

  constructor(
    private readonly changed: (hold: Hold) => void,
    private readonly locks: LockManager | null = navigator.locks ?? null,
  ) {}

  async open(): Promise<void> {
    const locks = this.locks;
    if (locks === null) {
      this.changed("here");
      return;
    }
    const free = await new Promise<boolean>((told) => {
      void this.hold(locks, { ifAvailable: true }, told);
    });
    if (free) return;
    this.changed("elsewhere");
    void this.hold(locks, {});
  }

  /** Take the till from the page that holds it. */
  take(): void {
    if (this.locks !== null) void this.hold(this.locks, { steal: true });
  }

  close(): void {
    this.release();
  }

  private async hold(locks: LockManager, options: LockOptions, told: (free: boolean) => void = () => undefined): Promise<void> {
    try {
      await locks.request(NAME, options, async (lock) => {
        told(lock !== null);
        if (lock === null) return;
        this.changed("here");
        await new Promise<void>((released) => {
          this.release = released;
        });
      });
    } catch (problem) {
      if (!(problem instanceof DOMException && problem.name === "AbortError")) throw problem;
      this.changed("elsewhere");
    }
  }
}
