/** Which products are there? All of them, kept in the browser: a till finds what it sells without a connection. */

import { type Product, Shelf } from "./products";
import { isFull, type Storage } from "./storage";

export interface Page {
  readonly products: readonly Product[];
  /** Where the next page is; null after the last one. */
  readonly next: string | null;
  readonly etag: string | null;
}

/** One page of the list of products; "same" when it still is what `etag` names. */
export type ReadPage = (path: string, etag: string | null) => Promise<Page | "same">;

interface Standing {
  readonly etag: string | null;
  readonly readAt: string;
}

const FIRST = "/products?limit=500";
const STANDING = "catalogue";
const MOST_PAGES = 1_000;

export class Catalogue {
  shelf = new Shelf([]);
  /** When the whole list was last known to be right; null before the first time. */
  readAt: string | null = null;

  constructor(
    private readonly storage: Storage,
    private readonly now: () => number = Date.now,
  ) {}

  /** Take what an earlier visit has kept; whether there was anything. */
  async recall(): Promise<boolean> {
    const standing = (await this.storage.get("kept", STANDING)) as Standing | undefined;
    const pages = await this.storage.getAll("catalogue");
    if (standing === undefined || pages.length === 0) return false;
    this.shelf = new Shelf(pages.flat());
    this.readAt = standing.readAt;
    return true;
  }

  /**
   * Make sure that it is today's: one question when nothing has changed, else every page anew. `progress` hears how many products were read.
   * While nothing is kept yet, products can be found as soon as their page is here; else the new list takes the old one's place at once.
   */
  async refresh(read: ReadPage, progress: (products: number) => void = () => undefined): Promise<void> {
    const standing = this.readAt === null ? undefined : ((await this.storage.get("kept", STANDING)) as Standing | undefined);
    const first = await read(FIRST, standing?.etag ?? null);
    if (first === "same") {
      await this.mark(standing?.etag ?? null);
      return;
    }
    const pages: Product[][] = [[...first.products]];
    let found = first.products.length;
    let path = first.next;
    progress(found);
    while (path !== null && pages.length < MOST_PAGES) {
      if (this.readAt === null) this.shelf = new Shelf(pages.flat());
      const page = await read(path, null);
      if (page === "same") break;
      pages.push([...page.products]);
      found += page.products.length;
      path = page.next;
      progress(found);
    }
    this.shelf = new Shelf(pages.flat());
    await this.keep(pages, first.etag);
  }

  /** Without room the list is only remembered until the page is closed: sales need the room more. */
  private async keep(pages: readonly Product[][], etag: string | null): Promise<void> {
    this.readAt = new Date(this.now()).toISOString();
    const work = this.storage.transaction(["catalogue", "kept"], "readwrite");
    const store = work.objectStore("catalogue");
    try {
      await Promise.all([
        store.clear(),
        ...pages.map((page, number) => store.put(page, number)),
        work.objectStore("kept").put({ etag, readAt: this.readAt } satisfies Standing, STANDING),
        work.done,
      ]);
    } catch (problem) {
      if (!isFull(problem)) throw problem;
    }
  }

  private async mark(etag: string | null): Promise<void> {
    this.readAt = new Date(this.now()).toISOString();
    await this.storage.put("kept", { etag, readAt: this.readAt } satisfies Standing, STANDING).catch((problem: unknown) => {
      if (!isFull(problem)) throw problem;
    });
  }
}
