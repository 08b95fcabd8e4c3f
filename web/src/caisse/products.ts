/** Which product is meant? Everything about finding one among those that this till knows, without asking anybody. */

export interface Bilingual {
  readonly fr: string;
  readonly en: string;
}

export interface Product {
  readonly sku: string;
  readonly name: Bilingual;
  readonly category: Bilingual;
  readonly price: string;
  readonly barcode: string | null;
  readonly active: boolean;
}

/** What was typed or scanned: "3*2000010000500" means three of them. */
export interface Entry {
  readonly quantity: number;
  readonly text: string;
}

interface Indexed {
  readonly product: Product;
  readonly names: string;
  readonly words: string;
}

const COUNTED = /^\s*(\d{1,4})\s*[*×x]\s*(.*)$/i;
const LIGATURES: Readonly<Record<string, string>> = { œ: "oe", æ: "ae", ß: "ss" };

/** Small letters without accents or ligatures, words parted by one blank; "1,5" and "1.5" are the same. */
export function folded(text: string): string {
  return text
    .toLowerCase()
    .normalize("NFD")
    .replace(/\p{M}/gu, "")
    .replace(/[œæß]/g, (letter) => LIGATURES[letter] ?? letter)
    .replace(/(\d)[.,](?=\d)/g, "$1.")
    .replace(/(?:[^a-z0-9.]|\.(?!\d))+/g, " ")
    .trim();
}

export function entryOf(typed: string): Entry {
  const found = COUNTED.exec(typed);
  const quantity = Number(found?.[1] ?? 1);
  return found === null || quantity < 1 ? { quantity: 1, text: typed.trim() } : { quantity, text: found[2]!.trim() };
}

/** Whether it looks like a code that a scanner has read, and not like a word. */
export const looksScanned = (text: string): boolean => /^\d{8,14}$/.test(text);

/** Products in memory: 10,000 of them are searched in a few milliseconds, so nothing cleverer is kept. */
export class Shelf {
  readonly size: number;
  private readonly bySku = new Map<string, Product>();
  private readonly byBarcode = new Map<string, Product>();
  private readonly indexed: Indexed[] = [];

  constructor(products: Iterable<Product>) {
    for (const product of products) {
      this.bySku.set(product.sku, product);
      if (!product.active) continue;
      if (product.barcode !== null) this.byBarcode.set(bare(product.barcode), product);
      const names = ` ${folded(product.name.fr)} | ${folded(product.name.en)}`;
      this.indexed.push({ product, names, words: `${names} ${folded(product.category.fr)} ${folded(product.category.en)} ${folded(product.sku)}` });
    }
    this.size = this.indexed.length;
  }

  bySkuOf(sku: string): Product | undefined {
    return this.bySku.get(sku);
  }

  /** The product with exactly this barcode or SKU. A UPC of 12 digits and the same as an EAN with a leading zero are one. */
  byCode(code: string): Product | undefined {
    const found = this.byBarcode.get(bare(code)) ?? this.bySku.get(code);
    return found?.active ? found : undefined;
  }

  /** Products that have every one of these words, the likeliest first, of these the ones `here`. One or two letters must begin a word. */
  search(text: string, most: number, here: (sku: string) => boolean = () => false): Product[] {
    const words = folded(text).split(" ").filter(Boolean);
    if (words.length === 0) return [];
    const coded = this.byCode(text.trim());
    const needles = words.map((word) => (word.length < 3 ? ` ${word}` : word));
    const phrase = words.join(" ");
    const found = this.indexed
      .filter((each) => each.product !== coded && needles.every((needle) => each.words.includes(needle)))
      .map((each) => ({ product: each.product, rank: rank(each, words, phrase) + (here(each.product.sku) ? 0 : 0.5) }))
      .sort((one, other) => one.rank - other.rank || one.product.name.fr.localeCompare(other.product.name.fr, "fr"))
      .slice(0, most)
      .map((each) => each.product);
    return coded === undefined ? found : [coded, ...found].slice(0, most);
  }
}

/** Small is likely: a name that begins so, then words that begin so, then words within names, then the rest. */
function rank(each: Indexed, words: readonly string[], phrase: string): number {
  if (each.names.startsWith(` ${phrase}`) || each.names.includes(`| ${phrase}`)) return 0;
  if (words.every((word) => each.names.includes(` ${word}`))) return 1;
  return words.every((word) => each.names.includes(word)) ? 2 : 3;
}

function bare(code: string): string {
  return code.replace(/^0+(?=\d)/, "");
}
