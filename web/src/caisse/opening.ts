/** How does the till open, and what goes on behind the counter while it is? */

import { watch } from "vue";
import { online, reached } from "@/app/http";
import { live, onChanged } from "@/app/live";
import { mayUse, signIns, who } from "@/app/session";
import type { Store } from "@/app/stores";
import type { Catalogue } from "./catalogue";
import type { Sale } from "./commands";
import { choose, chosen, shopsKnown, shopsNow } from "./place";
import { allLevels, outcome, productPage, someLevels, tell } from "./sending";
import { openStorage, persist } from "./storage";
import { Sync } from "./sync";
import { furnish, heardClock, stand, till, type Works, works } from "./till";

const TICK_MS = 15_000;
const CATALOGUE_MS = 5 * 60_000;
const RETRY_MS = 5_000;
/** Tills don't all ask at once, and one import of many products is read once. */
const NEWS_MS = 1_000;
const NEWS_SPREAD_MS = 4_000;
const NEWS_LEAST_MS = 30_000;
const LEVELS_MS = 15 * 60_000;
const MOST_UNDECIDED = 20;

let opening: Promise<void> | null = null;
let sync: Sync | null = null;

/** Open the till once; a page that comes back finds it open. */
export function openTill(): Promise<void> {
  opening ??= open().catch((problem: unknown) => {
    opening = null;
    till.broken = true;
    throw problem;
  });
  return opening;
}

async function open(): Promise<void> {
  const storage = await openStorage(undefined, () => location.reload());
  const made = await furnish(storage);
  void persist();
  await place(made, await shopsKnown(storage));
  await made.lock.open();
  sync = new Sync({ drain: () => drain(made), confirm: () => confirm(made), ended: (pause) => (till.pause = pause) });
  follow(made);
  till.opened = true;
  till.broken = false;
  syncNow();
  void refresh(made);
}

/** Send what waits, as soon as possible. */
export function syncNow(): void {
  if (till.hold === "here") void sync?.now(true);
}

/** Stand in another store from now on. */
export async function moveTo(store: Store): Promise<void> {
  if (works.value === null) return;
  choose(store);
  await stand(works.value, store);
  void refresh(works.value);
}

let retrying: ReturnType<typeof setTimeout> | undefined;

/** What the shop, the products and the levels are now; what can't be read is asked for again a little later. */
export async function refresh(made: Works): Promise<void> {
  clearTimeout(retrying);
  if (who.value === null) return;
  try {
    await place(made, await shopsNow(made.storage));
    till.placed = true;
    if (await readCatalogue(made.catalogue)) await readLevels(made);
    else if (till.unread) throw new Error("the catalogue was not read");
  } catch {
    retrying = setTimeout(() => void refresh(made), RETRY_MS);
  }
}

/** The levels of what is looked at right now. */
export async function look(wanted: { search: string } | { sku: string }): Promise<void> {
  const made = works.value;
  if (made === null || till.store === null || !online.value) return;
  const { levels } = made;
  const told = await someLevels(levels.store, wanted).catch(() => []);
  if (told.length === 0 || made.levels !== levels) return;
  levels.learn(told);
  till.edition++;
}

async function place(made: Works, shops: readonly Store[]): Promise<void> {
  till.shops = shops;
  const there = shops.find((store) => store.store_id === till.store?.store_id);
  const store = there ?? chosen(shops);
  if (store === null) {
    till.store = null;
    return;
  }
  if (there === undefined) await stand(made, store);
  else till.store = store;
}

/** Somebody else stands at the till: in a shop of theirs. */
async function change(made: Works): Promise<void> {
  till.placed = false;
  await place(made, await shopsKnown(made.storage));
  await refresh(made);
}

async function readCatalogue(catalogue: Catalogue): Promise<boolean> {
  if (till.reading !== null) return false;
  const first = catalogue.readAt === null;
  if (first) till.reading = 0;
  try {
    await catalogue.refresh(productPage, (products) => {
      if (first) till.reading = products;
      till.edition++;
    });
    till.unread = false;
  } catch {
    till.unread = true;
  } finally {
    till.reading = null;
    till.edition++;
  }
  return !till.unread;
}

async function readLevels(made: Works): Promise<void> {
  const { levels } = made;
  if (levels.store === "" || Date.now() - levels.askedAt < LEVELS_MS) return;
  levels.askedAt = Date.now();
  try {
    for await (const told of allLevels(levels.store)) {
      if (made.levels !== levels) return;
      levels.learn(told);
      till.edition++;
    }
    await levels.keep();
  } catch {
    levels.askedAt = 0;
  }
}

function drain(made: Works): ReturnType<Works["outbox"]["drain"]> {
  if (who.value === null) return Promise.resolve({ why: "signin" });
  return made.outbox.drain(async (command, alone) => {
    const verdict = await tell(command, alone, heardClock);
    if (verdict.kind === "refused" && command.kind === "sale") putBack(made, command);
    return verdict;
  }, mayUse);
}

/** A sale that was refused moved nothing: what was counted out for it is counted in again. */
function putBack(made: Works, sale: Sale): void {
  if (made.levels.store !== sale.store) return;
  for (const line of sale.body.lines) made.levels.move(line.sku, line.quantity);
  till.edition++;
}

async function confirm(made: Works): Promise<number> {
  const open = await made.outbox.undecided(MOST_UNDECIDED);
  let left = 0;
  for (const command of open) {
    const verdict = await outcome(command).catch(() => null);
    if (verdict === null) left += 1;
    else await made.outbox.decide(command.id, verdict);
  }
  return left;
}

/** Everything that may mean that there is a connection, or that something is new. */
function follow(made: Works): void {
  window.addEventListener("online", () => {
    reached(true);
    syncNow();
  });
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && syncNow());
  watch([live, signIns, () => till.hold], () => syncNow());
  watch(online, (now) => {
    if (!now) return;
    syncNow();
    void refresh(made);
  });
  watch(signIns, () => void refresh(made));
  watch(() => who.value?.username, (now) => now !== undefined && void change(made));
  onChanged(({ stores }) => {
    if (stores.some(({ types }) => types.includes("product.defined"))) heardOfProducts(made);
    if (stores.some((each) => each.store_id === till.store?.store_id)) void lookAtCart();
  });
  setInterval(() => (till.now = Date.now()), TICK_MS);
  setInterval(() => void refresh(made), CATALOGUE_MS);
}

let hearing: ReturnType<typeof setTimeout> | undefined;
let heardAt = 0;

/** Something is for sale under another name or price: the list is read a moment later. */
function heardOfProducts(made: Works): void {
  hearing ??= setTimeout(
    () => {
      hearing = undefined;
      heardAt = Date.now();
      void refresh(made);
    },
    Math.max(NEWS_MS + Math.random() * NEWS_SPREAD_MS, heardAt + NEWS_LEAST_MS - Date.now()),
  );
}

let looking = false;

/** Something happened in the shop: are there still enough of what is about to be sold? One question at a time. */
async function lookAtCart(): Promise<void> {
  const last = till.cart.at(-1);
  if (last === undefined || looking) return;
  looking = true;
  await look({ sku: last.sku }).finally(() => (looking = false));
}
