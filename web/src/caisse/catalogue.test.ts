import { beforeEach, describe, expect, it } from "vitest";
import { uuid7 } from "@/app/ids";
import { Catalogue, type Page, type ReadPage } from "./catalogue";
import { Levels } from "./levels";
import { type Hold, TillLock } from "./lock";
import type { Product } from "./products";
import { openStorage, type Storage } from "./storage";

let storage: Storage;
let name: string;

beforeEach(async () => {
  name = uuid7();
  storage = await openStorage(name);
});

function product(sku: string): Product {
  return { sku, name: { fr: `Lait ${sku}`, en: `Milk ${sku}` }, category: { fr: "", en: "" }, price: "1.00", barcode: null, active: true };
}

/** Pages of two products; every request is noted. */
function served(skus: readonly string[], etag: string): { asked: string[]; read: ReadPage } {
  const asked: string[] = [];
  const read: ReadPage = async (path, known) => {
    asked.push(path);
    if (known === etag) return "same";
    const from = Number(new URLSearchParams(path.split("?")[1]).get("after") ?? 0);
    const next = from + 2 < skus.length ? `/products?limit=500&after=${from + 2}` : null;
    return { products: skus.slice(from, from + 2).map(product), next, etag } satisfies Page;
  };
  return { asked, read };
}

describe("the catalogue", () => {
  it("is read once, page by page, and is there again without a connection", async () => {
    const { asked, read } = served(["A", "B", "C", "D", "E"], "1");
    const heard: number[] = [];
    await new Catalogue(storage).refresh(read, (products) => heard.push(products));
    expect(asked).toHaveLength(3);
    expect(heard).toEqual([2, 4, 5]);
    storage.close();
    const later = new Catalogue(await openStorage(name));
    expect(await later.recall()).toBe(true);
    expect(later.shelf.search("lait", 9).map((each) => each.sku)).toEqual(["A", "B", "C", "D", "E"]);
  });

  it("costs one question when nothing has changed", async () => {
    const { asked, read } = served(["A", "B", "C"], "1");
    const catalogue = new Catalogue(storage);
    await catalogue.refresh(read);
    await catalogue.refresh(read);
    expect(asked).toHaveLength(3);
    expect(catalogue.shelf.size).toBe(3);
  });

  it("takes over a new one as a whole", async () => {
    const catalogue = new Catalogue(storage);
    await catalogue.refresh(served(["A", "B", "C"], "1").read);
    await catalogue.refresh(served(["B", "D"], "2").read);
    expect(catalogue.shelf.bySkuOf("A")).toBeUndefined();
    expect(catalogue.shelf.size).toBe(2);
    const later = new Catalogue(storage);
    await later.recall();
    expect(later.shelf.size).toBe(2);
  });

  it("can be searched while it comes for the first time, and keeps the old one when the line breaks", async () => {
    const catalogue = new Catalogue(storage);
    const { read } = served(["A", "B", "C", "D"], "1");
    const broken: ReadPage = async (path, etag) => {
      if (path.includes("after")) throw new TypeError("Failed to fetch");
      return read(path, etag);
    };
    await expect(catalogue.refresh(broken)).rejects.toThrow(TypeError);
    expect(catalogue.shelf.size).toBe(2);
    expect(catalogue.readAt).toBeNull();
    await catalogue.refresh(read);
    await expect(catalogue.refresh(async (path, etag) => (path.includes("after") ? broken(path, etag) : served(["X", "Y", "Z"], "2").read(path, etag)))).rejects.toThrow();
    expect(catalogue.shelf.size).toBe(4);
  });
});

describe("levels", () => {
  it("know their age, move with what is sold here, and belong to one store", async () => {
    let now = 1_000;
    const levels = new Levels(storage, "montreal", () => now);
    levels.learn([{ sku: "A", onHand: 5, inTransit: 2 }]);
    now = 61_000;
    levels.move("A", -2);
    levels.move("B", -2);
    expect(levels.of("A")).toEqual({ onHand: 3, inTransit: 2, knownAt: 1_000 });
    expect(levels.of("B")).toBeUndefined();
    await levels.keep();
    const later = new Levels(storage, "montreal");
    await later.recall();
    expect(later.of("A")?.onHand).toBe(3);
    const elsewhere = new Levels(storage, "quebec");
    await elsewhere.recall();
    expect(elsewhere.size).toBe(0);
  });
});

describe("the till's lock", () => {
  /** Web Locks for one name, as browsers do them. */
  function locks(): LockManager {
    let holder: { lost: (problem: DOMException) => void } | null = null;
    const waiting: (() => void)[] = [];
    const request = async (_name: string, options: LockOptions, work: (lock: Lock | null) => Promise<unknown>): Promise<unknown> => {
      if (options.ifAvailable && holder !== null) return work(null);
      if (options.steal) holder?.lost(new DOMException("stolen", "AbortError"));
      else if (holder !== null) await new Promise<void>((free) => waiting.push(free));
      const self = { lost: (_: DOMException) => undefined as void };
      holder = self;
      const stolen = new Promise<never>((_, reject) => (self.lost = reject));
      try {
        return await Promise.race([work({ name: _name, mode: "exclusive" }), stolen]);
      } finally {
        if (holder === self) {
          holder = null;
          waiting.shift()?.();
        }
      }
    };
    return { request } as unknown as LockManager;
  }

  it("is held by one page, passes on when that is closed, and can be taken", async () => {
    const manager = locks();
    const [first, second]: [Hold[], Hold[]] = [[], []];
    const one = new TillLock((hold) => first.push(hold), manager);
    const other = new TillLock((hold) => second.push(hold), manager);
    await one.open();
    await other.open();
    expect([first, second]).toEqual([["here"], ["elsewhere"]]);
    one.close();
    await new Promise((done) => setTimeout(done));
    expect(second).toEqual(["elsewhere", "here"]);
    one.take();
    await new Promise((done) => setTimeout(done));
    expect(first.at(-1)).toBe("here");
    expect(second.at(-1)).toBe("elsewhere");
  });

  it("is always here where there are no locks", async () => {
    const told: Hold[] = [];
    await new TillLock((hold) => told.push(hold), null).open();
    expect(told).toEqual(["here"]);
  });
});
