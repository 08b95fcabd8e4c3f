/** What does the search field find, and what does Enter do with it? */

import { computed, ref, watch } from "vue";
import { online } from "@/app/http";
import { MOST_LINES } from "./cart";
import { look } from "./opening";
import { entryOf, looksScanned, type Product } from "./products";
import { searchAfar } from "./sending";
import { add, sales, till, works } from "./till";

const MOST_FOUND = 40;
/** As many as there is room for: a desk has more of it than a hand. */
const TILES = globalThis.innerWidth >= 1_600 ? 48 : 18;
const CALM_MS = 250;
const AFAR_MS = 450;
/** A scanner may end a code with two Enters; the second one pays nothing. */
const SECOND_ENTER_MS = 400;

export type Entered = "added" | "nothing" | "pay" | "full";

const isHere = (sku: string): boolean => (works.value?.levels.of(sku)?.onHand ?? 0) > 0;

/** The search of one page. */
export function useFinding() {
  const text = ref("");
  const at = ref(0);
  const afar = ref<readonly Product[]>([]);
  const asking = ref(false);
  const unknownCode = ref("");
  const lastSku = ref("");
  let enteredAt = 0;

  const entry = computed(() => entryOf(text.value));
  const near = computed(() => (till.edition, works.value?.catalogue.shelf.search(entry.value.text, MOST_FOUND, isHere) ?? []));
  const found = computed(() => (near.value.length > 0 ? near.value : afar.value));
  const active = computed(() => found.value[Math.min(at.value, found.value.length - 1)]);
  const fromAfar = computed(() => near.value.length === 0 && afar.value.length > 0);

  let calm: ReturnType<typeof setTimeout> | undefined;
  let far: ReturnType<typeof setTimeout> | undefined;
  watch(
    () => entry.value.text,
    (now) => {
      at.value = 0;
      afar.value = [];
      asking.value = false;
      clearTimeout(calm);
      clearTimeout(far);
      if (now !== "") unknownCode.value = "";
      if (now.length < 2) return;
      calm = setTimeout(() => void look({ search: now }), CALM_MS);
      if (near.value.length > 0 || !online.value) return;
      asking.value = true;
      far = setTimeout(() => void ask(now), AFAR_MS);
    },
  );

  async function ask(words: string): Promise<void> {
    const products = await searchAfar({ search: words }).catch(() => []);
    if (entry.value.text !== words) return;
    afar.value = products;
    asking.value = false;
  }

  function move(steps: number): void {
    at.value = Math.max(0, Math.min(found.value.length - 1, at.value + steps));
  }

  function take(product: Product): Entered {
    if (till.cart.length >= MOST_LINES && !till.cart.some((line) => line.sku === product.sku)) return "full";
    add(product, entry.value.quantity);
    lastSku.value = product.sku;
    text.value = "";
    enteredAt = Date.now();
    return "added";
  }

  /** Enter: the code that was scanned, else the product that is marked; with nothing typed, on to paying. */
  function enter(): Entered {
    const { text: wanted, quantity } = entry.value;
    if (wanted === "") return Date.now() - enteredAt < SECOND_ENTER_MS || till.cart.length === 0 ? "nothing" : "pay";
    const coded = works.value?.catalogue.shelf.byCode(wanted);
    if (coded !== undefined) return take(coded);
    if (looksScanned(wanted)) {
      text.value = "";
      enteredAt = Date.now();
      void scanned(wanted, quantity);
      return "nothing";
    }
    return active.value === undefined ? "nothing" : take(active.value);
  }

  /** A code that this till doesn't know: headquarters may. The next one can be scanned meanwhile. */
  async function scanned(code: string, quantity: number): Promise<void> {
    const [product] = online.value ? await searchAfar({ barcode: code }).catch(() => []) : [];
    if (product === undefined) unknownCode.value = code;
    else {
      add(product, quantity);
      lastSku.value = product.sku;
    }
  }

  return { text, entry, at, found, active, fromAfar, asking, unknownCode, lastSku, move, take, enter };
}

export type Finding = ReturnType<typeof useFinding>;

/** What is offered while nothing is typed: what this till sold most often, and what there is most of. */
export const tiles = computed<{ frequent: readonly Product[]; plenty: readonly Product[] }>(() => {
  void till.edition;
  const made = works.value;
  if (made === null) return { frequent: [], plenty: [] };
  const often = new Map<string, number>();
  for (const sale of sales.value) for (const line of sale.body.lines) often.set(line.sku, (often.get(line.sku) ?? 0) + 1);
  const known = (skus: readonly string[]): Product[] =>
    skus.flatMap((sku) => made.catalogue.shelf.bySkuOf(sku) ?? []).filter((each) => each.active).slice(0, TILES);
  const frequent = known([...often].sort((one, other) => other[1] - one[1]).map(([sku]) => sku));
  const plenty = known(made.levels.most(2 * TILES)).filter((each) => !frequent.includes(each));
  return { frequent, plenty: plenty.slice(0, TILES - frequent.length) };
});
