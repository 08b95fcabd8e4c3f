/** How many are left, as far as this till knows, and since when does it know? A hint beside a product, which never holds up a sale. */

import { isFull, type Storage } from "./storage";

export interface Level {
  readonly onHand: number;
  readonly inTransit: number;
  /** Milliseconds since 1970, by this till's clock. */
  readonly knownAt: number;
}

export interface Told {
  readonly sku: string;
  readonly onHand: number;
  readonly inTransit: number;
}

interface KeptLevels {
  readonly store: string;
  readonly levels: readonly (readonly [string, Level])[];
}

const LEVELS = "levels";

/** The levels of one store. */
export class Levels {
  /** When all of them were last asked for, in milliseconds since 1970; 0 before. */
  askedAt = 0;
  private bySku = new Map<string, Level>();

  constructor(
    private readonly storage: Storage,
    readonly store: string,
    private readonly now: () => number = Date.now,
  ) {}

  of(sku: string): Level | undefined {
    return this.bySku.get(sku);
  }

  get size(): number {
    return this.bySku.size;
  }

  /** The SKUs of which there is most, so many of them. */
  most(count: number): string[] {
    const sorted = [...this.bySku].sort((one, other) => other[1].onHand - one[1].onHand);
    return sorted.slice(0, count).map(([sku]) => sku);
  }

  async recall(): Promise<void> {
    const kept = (await this.storage.get("kept", LEVELS)) as KeptLevels | undefined;
    if (kept?.store === this.store) this.bySku = new Map(kept.levels);
  }

  learn(told: Iterable<Told>): void {
    const knownAt = this.now();
    for (const { sku, onHand, inTransit } of told) this.bySku.set(sku, { onHand, inTransit, knownAt });
  }

  /** What has just left over this counter, or come back, is counted at once; its age stays what it was. */
  move(sku: string, delta: number): void {
    const level = this.bySku.get(sku);
    if (level !== undefined) this.bySku.set(sku, { ...level, onHand: level.onHand + delta });
  }

  async keep(): Promise<void> {
    const kept: KeptLevels = { store: this.store, levels: [...this.bySku] };
    await this.storage.put("kept", kept, LEVELS).catch((problem: unknown) => {
      if (!isFull(problem)) throw problem;
    });
  }
}
