/** What is on this till right now, and what can be done with it? One for the whole page: sales go on being sent while other pages are open. */

import { computed, reactive, ref, shallowRef } from "vue";
import { online } from "@/app/http";
import { who } from "@/app/session";
import type { Store } from "@/app/stores";
import { type Cart, EMPTY, remembering, type Past, totalOf, unitsOf, withProduct, withQuantity } from "./cart";
import { Catalogue } from "./catalogue";
import type { Command, Sale } from "./commands";
import { Levels } from "./levels";
import { type Hold, TillLock } from "./lock";
import { Outbox, type Pause } from "./outbox";
import type { Product } from "./products";
import type { Storage } from "./storage";

export const CART = "cart";
const BEHIND = "clock_behind_ms";
const GATHER_MS = 50;

/** What the page shows. */
export const till = reactive({
  opened: false,
  /** The browser can't keep anything: no till without that. */
  broken: false,
  hold: "here" as Hold,
  store: null as Store | null,
  shops: [] as readonly Store[],
  /** Whether the system has said which shops there are, since the till was opened. */
  placed: false,
  cart: EMPTY as Cart,
  past: [] as Past,
  pause: { why: "idle" } as Pause,
  /** How many products were read so far; null when none are being read. */
  reading: null as number | null,
  /** Whether the last attempt to read the catalogue failed. */
  unread: false,
  /** Grows whenever products or levels have changed: what was computed from them is computed anew. */
  edition: 0,
  now: Date.now(),
});

export const commands = shallowRef<readonly Command[]>([]);

/** What the page needs besides what it shows; there once the till is open. */
export interface Works {
  readonly storage: Storage;
  readonly outbox: Outbox;
  readonly catalogue: Catalogue;
  readonly lock: TillLock;
  levels: Levels;
  /** By how much the clock of this machine is behind the server's. */
  behind: number;
}

export const works = ref<Works | null>(null) as { value: Works | null };

export const total = computed(() => totalOf(till.cart));
export const units = computed(() => unitsOf(till.cart));
export const currency = computed(() => till.store?.currency ?? "CAD");
export const waiting = computed(() => commands.value.filter((each) => each.state === "waiting"));
export const refused = computed(() => commands.value.filter((each) => each.state === "refused"));
export const sales = computed(() => commands.value.filter((each): each is Sale => each.kind === "sale"));

/** offline: nobody answers. signin: the session has ended. sending: something waits and is on its way. */
export const connection = computed<"online" | "offline" | "busy" | "signin" | "sending">(() => {
  if (till.pause.why === "signin") return "signin";
  if (!online.value || till.pause.why === "offline") return "offline";
  if (waiting.value.length === 0) return "online";
  return till.pause.why === "busy" ? "busy" : "sending";
});

/** The present instant by the server's clock, for what is told. */
export const instant = (): string => new Date(Date.now() + (works.value?.behind ?? 0)).toISOString();

/** Makes everything that keeps and finds, with what an earlier visit has left. */
export async function furnish(storage: Storage): Promise<Works> {
  const outbox = new Outbox(storage, gather);
  const catalogue = new Catalogue(storage);
  const lock = new TillLock((hold) => {
    till.hold = hold;
    if (hold === "here") void recallCart(storage);
  });
  const behind = Number((await storage.get("kept", BEHIND)) ?? 0);
  const made: Works = { storage, outbox, catalogue, lock, levels: new Levels(storage, ""), behind };
  works.value = made;
  await Promise.all([catalogue.recall(), outbox.forget()]);
  await show();
  return made;
}

/** Stand in a store: its levels, and its cart. */
export async function stand(made: Works, store: Store): Promise<void> {
  till.store = store;
  made.levels = new Levels(made.storage, store.store_id);
  await made.levels.recall();
  await recallCart(made.storage);
  till.edition++;
}

export function heardClock(behind: number): void {
  const made = works.value;
  if (made === null || made.behind === behind) return;
  made.behind = behind;
  void made.storage.put("kept", behind, BEHIND).catch(() => undefined);
}

let gathering: ReturnType<typeof setTimeout> | undefined;

/** Many changes of the outbox are shown as one. */
function gather(): void {
  gathering ??= setTimeout(() => {
    gathering = undefined;
    void show().catch(() => undefined);
  }, GATHER_MS);
}

/** Show what the outbox keeps. */
export async function show(): Promise<void> {
  if (works.value !== null) commands.value = await works.value.outbox.all();
}

interface KeptCart {
  readonly store: string;
  readonly cart: Cart;
}

async function recallCart(storage: Storage): Promise<void> {
  const kept = (await storage.get("kept", CART)) as KeptCart | undefined;
  till.cart = kept?.store === till.store?.store_id ? (kept?.cart ?? EMPTY) : EMPTY;
  till.past = [];
}

/** Change the cart; the one before can be had back. */
export function setCart(cart: Cart): void {
  if (cart === till.cart) return;
  till.past = remembering(till.past, till.cart);
  till.cart = cart;
  keepCart();
}

export const add = (product: Product, quantity = 1): void => setCart(withProduct(till.cart, product, quantity));
export const setQuantity = (sku: string, quantity: number): void => setCart(withQuantity(till.cart, sku, quantity));
export const empty = (): void => setCart(EMPTY);

/** Take the last change of the cart back. */
export function undo(): void {
  const before = till.past.at(-1);
  if (before === undefined) return;
  till.past = till.past.slice(0, -1);
  till.cart = before;
  keepCart();
}

/** The cart was paid: there is nothing to go back to. */
export function clearCart(): void {
  till.cart = EMPTY;
  till.past = [];
}

function keepCart(): void {
  if (works.value === null || till.store === null) return;
  const cart = till.cart.map((line) => ({ ...line, name: { ...line.name } }));
  const kept: KeptCart = { store: till.store.store_id, cart };
  void works.value.storage.put("kept", kept, CART).catch(() => undefined);
}

/** Who stands at the till, by name. */
export const cashier = computed(() => who.value?.username ?? "");
