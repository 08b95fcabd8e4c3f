import { describe, expect, it } from "vitest";
import { entryOf, folded, looksScanned, type Product, Shelf } from "./products";

function product(sku: string, fr: string, en: string, more: Partial<Product> = {}): Product {
  return { sku, name: { fr, en }, category: { fr: "Épicerie", en: "Grocery" }, price: "2.50", barcode: null, active: true, ...more };
}

const coffee = product("C1", "Café moulu 340 g", "Ground coffee 340 g", { barcode: "0060012345674" });
const cream = product("C2", "Crème à café 10 %", "Coffee cream 10 %");
const eggs = product("E1", "Œufs gros calibre", "Large eggs");
const milk = product("M1", "Lait 1,5 L", "Milk 1.5 L", { barcode: "2000010000500" });
const gone = product("G1", "Café disparu", "Gone coffee", { active: false, barcode: "2000010009999" });
const shelf = new Shelf([cream, coffee, eggs, milk, gone]);

describe("searching", () => {
  it("needs neither accents nor capitals nor ligatures", () => {
    expect(shelf.search("cafe MOULU", 9)).toEqual([coffee]);
    expect(shelf.search("oeufs", 9)).toEqual([eggs]);
    expect(shelf.search("CRÈME", 9)).toEqual([cream]);
  });

  it("puts first what begins so", () => {
    expect(shelf.search("café", 9)).toEqual([coffee, cream]);
    expect(shelf.search("coffee", 9)).toEqual([cream, coffee]);
  });

  it("puts first, of the equally likely, what is here", () => {
    const sugar = [product("S1", "Sucre blanc", "White sugar"), product("S2", "Sucre brun", "Brown sugar")] as const;
    const both = new Shelf(sugar);
    expect(both.search("sucre", 9)).toEqual([sugar[0], sugar[1]]);
    expect(both.search("sucre", 9, (sku) => sku === "S2")).toEqual([sugar[1], sugar[0]]);
  });

  it("reads 1,5 and 1.5 alike", () => {
    expect(shelf.search("lait 1.5", 9)).toEqual([milk]);
    expect(shelf.search("milk 1,5", 9)).toEqual([milk]);
  });

  it("wants all the words, in any order and language", () => {
    expect(shelf.search("moulu coffee", 9)).toEqual([coffee]);
    expect(shelf.search("moulu lait", 9)).toEqual([]);
  });

  it("takes one or two letters for the beginning of a word", () => {
    expect(shelf.search("mo", 9)).toEqual([coffee]);
    expect(shelf.search("gr ca", 9)).toEqual([coffee, eggs, cream]);
    expect(shelf.search("fé", 9)).toEqual([]);
  });

  it("shows nothing for nothing, at most what is asked, and never what is no longer sold", () => {
    expect(shelf.search("  ", 9)).toEqual([]);
    expect(shelf.search("café", 1)).toEqual([coffee]);
    expect(shelf.search("disparu", 9)).toEqual([]);
  });

  it("is quick over ten thousand", () => {
    const many = new Shelf(Array.from({ length: 10_000 }, (_, n) => product(`S${n}`, `Produit numéro ${n} épicé`, `Product number ${n} spicy`)));
    const started = performance.now();
    expect(many.search("epice 999", 30)).toHaveLength(19);
    expect(performance.now() - started).toBeLessThan(100);
  });
});

describe("scanning", () => {
  it("finds by barcode, with or without the leading zeros, and by SKU", () => {
    expect(shelf.byCode("0060012345674")).toBe(coffee);
    expect(shelf.byCode("60012345674")).toBe(coffee);
    expect(shelf.byCode("C2")).toBe(cream);
    expect(shelf.byCode("C9")).toBeUndefined();
    expect(shelf.byCode("2000010009999")).toBeUndefined();
    expect(shelf.byCode("G1")).toBeUndefined();
  });

  it("shows a code's product first among the results", () => {
    expect(shelf.search("2000010000500", 9)).toEqual([milk]);
  });

  it("understands how many", () => {
    expect(entryOf("3*2000010000500")).toEqual({ quantity: 3, text: "2000010000500" });
    expect(entryOf(" 12 x lait ")).toEqual({ quantity: 12, text: "lait" });
    expect(entryOf("lait")).toEqual({ quantity: 1, text: "lait" });
    expect(entryOf("0*lait")).toEqual({ quantity: 1, text: "0*lait" });
  });

  it("knows a code from a word", () => {
    expect(looksScanned("2000010000500")).toBe(true);
    expect(looksScanned("1,5 lait")).toBe(false);
    expect(looksScanned("340")).toBe(false);
  });
});

describe("folding", () => {
  it("keeps points within numbers only", () => {
    expect(folded("Fin. 1.5 L, 10%")).toBe("fin 1.5 l 10");
  });
});
