/** What does a till keep in the browser, so that it survives a reload, a closed page and a day without a connection? */

import { type DBSchema, type IDBPDatabase, openDB } from "idb";
import type { Command } from "./commands";
import type { Product } from "./products";

const NAME = "magasin-caisse";
const VERSION = 1;

/** Small things with a name: the till's own id and numbers, the cart, when the catalogue was read. */
export type Kept = unknown;

interface Layout extends DBSchema {
  commands: { key: number; value: Command; indexes: { id: string; state: [string, number]; subject: string } };
  catalogue: { key: number; value: Product[] };
  kept: { key: string; value: Kept };
}

export type Storage = IDBPDatabase<Layout>;

/** The disk, or the share of it that the browser grants, is full: nothing was written. */
export class StorageFullError extends Error {
  override readonly name = "StorageFullError";
}

/** Opens what is kept. `blocked` is called when a newer page waits for this one to let go of it. */
export async function openStorage(name: string = NAME, blocked: () => void = () => undefined): Promise<Storage> {
  const storage: Storage = await openDB<Layout>(name, VERSION, {
    upgrade(database) {
      const commands = database.createObjectStore("commands", { keyPath: "place", autoIncrement: true });
      commands.createIndex("id", "id", { unique: true });
      commands.createIndex("state", ["state", "place"]);
      commands.createIndex("subject", "subject");
      database.createObjectStore("catalogue");
      database.createObjectStore("kept");
    },
    blocking() {
      storage.close();
      blocked();
    },
  });
  return storage;
}

export const isFull = (problem: unknown): boolean => problem instanceof DOMException && problem.name === "QuotaExceededError";

/** Asks the browser never to throw this away by itself; whether it promised. It is best effort: without the promise the till works on. */
export async function persist(): Promise<boolean> {
  return (await navigator.storage?.persist?.().catch(() => false)) ?? false;
}
