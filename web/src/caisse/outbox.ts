/** Does every sale reach the system once, whatever happens to the page, the connection and the answers? */

import { uuid7 } from "@/app/ids";
import type { Command, Kind, State } from "./commands";
import { isFull, type Storage, StorageFullError } from "./storage";
import type { Verdict } from "./verdict";

/** What the storage gives a command before it is made: names that nobody else has, and the till's next number. */
export interface Numbers {
  readonly id: string;
  readonly tillId: string;
  readonly tillSeq: number;
}

/** A command that the outbox is asked to keep; a distributed omission, so that a kind keeps its own body. */
type Draft<C> = C extends Command ? Omit<C, "place" | "id" | "subject" | "state" | "attempts"> & { readonly subject?: string } : never;
export type Drafted = Draft<Command>;
export type Send = (command: Command, alone: boolean) => Promise<Verdict>;

/** Why sending stopped. `idle`: nothing is left. */
export type Pause = { readonly why: "idle" } | Omit<Extract<Verdict, { kind: "unknown" }>, "kind">;

const DAY_MS = 86_400_000;
const KEPT_DAYS = 30;
const KEPT_DAYS_IN_NEED = 1;
/** A command that the system fails on so often no longer holds up what was made after it. */
const PATIENT_ATTEMPTS = 5;
const TILL = "till";
const SETTLED: readonly State[] = ["recorded", "abandoned"];

interface Till {
  readonly id: string;
  readonly next: Readonly<Record<string, number>>;
}

export class Outbox {
  private draining: Promise<Pause> | null = null;
  private again = false;

  /** `changed` is called after every change of what is kept. */
  constructor(
    private readonly storage: Storage,
    private readonly changed: () => void = () => undefined,
    private readonly now: () => number = Date.now,
  ) {}

  /**
   * Keep a command, with an id of its own and, for a sale, the till's next number: in one transaction that is on the disk when this returns, so
   * before anything is sent. What is kept under the name `instead` goes in the same transaction: a cart that was paid never comes back.
   * Throws StorageFullError when there is no room even after what can be had again was thrown away.
   */
  async keep(store: string, kind: Kind, make: (numbers: Numbers) => Drafted, instead: string | null = null): Promise<Command> {
    try {
      return await this.write(store, kind, make, instead);
    } catch (problem) {
      if (!isFull(problem)) throw problem;
    }
    await this.makeRoom();
    try {
      return await this.write(store, kind, make, instead);
    } catch (problem) {
      throw isFull(problem) ? new StorageFullError("no room for a command", { cause: problem }) : problem;
    }
  }

  /**
   * Send what waits, in the order in which it was made, until nothing is left or no answer comes. One run at a time: who calls meanwhile gets
   * that run's end. `mine` says for which stores this session may speak; the others' commands wait for theirs.
   */
  drain(send: Send, mine: (store: string) => boolean = () => true): Promise<Pause> {
    this.again = this.draining !== null;
    this.draining ??= this.run(send, mine).finally(() => {
      this.draining = null;
    });
    return this.draining;
  }

  /** Everything that is kept, latest first. */
  async all(): Promise<Command[]> {
    return (await this.storage.getAll("commands")).reverse();
  }

  async waiting(): Promise<number> {
    return this.storage.countFromIndex("commands", "state", stretch("waiting"));
  }

  async byId(id: string): Promise<Command | undefined> {
    return this.storage.getFromIndex("commands", "id", id);
  }

  /** What was said about a sale, the sale itself first. */
  async about(subject: string): Promise<Command[]> {
    return this.storage.getAllFromIndex("commands", "subject", subject);
  }

  /** Commands that were confirmed and not decided yet, oldest first. */
  async undecided(most: number): Promise<Command[]> {
    return this.storage.getAllFromIndex("commands", "state", stretch("accepted"), most);
  }

  /** What became of a command that had been accepted. */
  async decide(id: string, verdict: Verdict): Promise<void> {
    await this.settle(id, "accepted", verdict);
  }

  /** Try a refused command again, under the same id. */
  async retry(id: string): Promise<void> {
    await this.alter(id, (command) => (command.state === "refused" ? { ...without(command), state: "waiting", attempts: 0 } : command));
  }

  /** Give a refused command up: it stays in the list, and is never sent again. */
  async abandon(id: string): Promise<void> {
    await this.alter(id, (command) => (command.state === "refused" ? { ...command, state: "abandoned", settledAt: this.instant() } : command));
  }

  /** Forget what was recorded or given up more than so many days ago. What waits or was refused stays. */
  async forget(days: number = KEPT_DAYS): Promise<void> {
    const before = new Date(this.now() - days * DAY_MS).toISOString();
    const work = this.storage.transaction("commands", "readwrite");
    for (let cursor = await work.store.openCursor(); cursor !== null; cursor = await cursor.continue()) {
      if (SETTLED.includes(cursor.value.state) && (cursor.value.settledAt ?? cursor.value.madeAt) < before) await cursor.delete();
    }
    await work.done;
  }

  private async write(store: string, kind: Kind, make: (numbers: Numbers) => Drafted, instead: string | null): Promise<Command> {
    const work = this.storage.transaction(["commands", "kept"], "readwrite", { durability: "strict" });
    const failed = work.done.then(() => null, (problem: unknown) => problem);
    try {
      const kept = work.objectStore("kept");
      const till = ((await kept.get(TILL)) as Till | undefined) ?? { id: `web-${uuid7(this.now()).slice(-10)}`, next: {} };
      const tillSeq = till.next[store] ?? 1;
      const id = uuid7(this.now());
      const drafted = make({ id, tillId: till.id, tillSeq });
      const command = { ...drafted, id, subject: drafted.subject ?? id, state: "waiting", attempts: 0 } as Command;
      if (kind === "sale") await kept.put({ id: till.id, next: { ...till.next, [store]: tillSeq + 1 } } satisfies Till, TILL);
      if (instead !== null) await kept.delete(instead);
      const place = await work.objectStore("commands").add(command);
      const problem = await failed;
      if (problem !== null) throw problem;
      this.changed();
      return { ...command, place };
    } catch (problem) {
      throw (await abandoned(work, failed)) ?? problem;
    }
  }

  private async run(send: Send, mine: (store: string) => boolean): Promise<Pause> {
    let pause: Pause = { why: "idle" };
    const overtaken = new Set<string>();
    for (;;) {
      this.again = false;
      const next = await this.next((command) => mine(command.store) && !overtaken.has(command.subject));
      if (next === undefined) {
        if (this.again) continue;
        return pause;
      }
      const verdict = await send(next, (await this.waiting()) === 1);
      await this.settle(next.id, "waiting", verdict);
      if (verdict.kind !== "unknown") continue;
      if (verdict.problem?.status !== 500 || next.attempts + 1 < PATIENT_ATTEMPTS) return verdict;
      overtaken.add(next.subject);
      pause = verdict;
    }
  }

  /** The first command that waits and may be sent. */
  private async next(may: (command: Command) => boolean): Promise<Command | undefined> {
    const index = this.storage.transaction("commands").store.index("state");
    for (let cursor = await index.openCursor(stretch("waiting")); cursor !== null; cursor = await cursor.continue()) {
      if (may(cursor.value)) return cursor.value;
    }
    return undefined;
  }

  private async settle(id: string, from: State, verdict: Verdict): Promise<void> {
    await this.alter(id, (command) => {
      if (command.state !== from) return command;
      const attempts = command.attempts + 1;
      if (verdict.kind === "unknown") return { ...command, attempts, ...(verdict.problem ? { problem: verdict.problem } : {}) };
      const problem = verdict.kind === "refused" ? { problem: verdict.problem } : {};
      return { ...without(command), attempts, state: verdict.kind, settledAt: this.instant(), ...problem };
    });
  }

  private async alter(id: string, change: (command: Command) => Command): Promise<void> {
    const work = this.storage.transaction("commands", "readwrite");
    const found = await work.store.index("id").get(id);
    const altered = found === undefined ? undefined : change(found);
    if (altered !== undefined && altered !== found) await work.store.put(altered);
    await work.done;
    this.changed();
  }

  /** Throw away what can be had again: old recorded sales are at headquarters, and the catalogue can be read anew. */
  private async makeRoom(): Promise<void> {
    await this.forget(KEPT_DAYS_IN_NEED);
    await this.storage.clear("catalogue");
  }

  private instant(): string {
    return new Date(this.now()).toISOString();
  }
}

function stretch(state: State): IDBKeyRange {
  return IDBKeyRange.bound([state, 0], [state, Number.MAX_SAFE_INTEGER], true);
}

function without(command: Command): Command {
  const { problem: _problem, ...rest } = command;
  return rest as Command;
}

/** End a transaction that failed half-way: nothing of it stays. Why it failed, when the storage itself knows. */
async function abandoned(work: { abort(): void }, failed: Promise<unknown>): Promise<unknown> {
  try {
    work.abort();
  } catch {
    // It has ended by itself.
  }
  const problem = await failed;
  return isFull(problem) ? problem : null;
}
