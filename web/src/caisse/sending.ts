/** How does the till speak with the system? Everything that it asks or tells, as values; what is no answer throws a Problem. */

import { read, send } from "@/app/http";
import { Problem } from "@/app/problem";
import type { Page } from "./catalogue";
import { type Command, pathOf, type Problem as Refusal } from "./commands";
import type { Told } from "./levels";
import type { Bilingual, Product } from "./products";
import { isObject, type Verdict, verdictOf } from "./verdict";

const ROOT = "/api/v2";
const POST_SECONDS = 20;
const READ_SECONDS = 60;
const WAIT = "wait=5";

/** By how much this machine's clock is behind the server's, in milliseconds; what is under two seconds is the way there and back. */
export type Heard = (behind: number) => void;
const TOLERATED_MS = 2_000;

interface StockRow {
  readonly sku: string;
  readonly on_hand: number;
  readonly in_transit: number;
}

/** A sale as headquarters knows it. */
export interface FarSale {
  readonly sale_id: string;
  readonly till_id: string | null;
  readonly till_seq: number | null;
  readonly units: number;
  readonly total: string;
  readonly occurred_at: string;
  readonly status: "recorded" | "voided" | "returned" | "refused";
  readonly actor: string;
}

export interface FarSaleDetail extends FarSale {
  readonly lines: readonly { readonly sku: string; readonly quantity: number; readonly unit_price: string; readonly line_total?: string }[];
  readonly returnable: readonly { readonly sku: string; readonly sold: number; readonly returned: number; readonly returnable: number }[];
  readonly payment: { readonly method: string; readonly tendered?: string } | null;
}

/** Post a command. One that is alone waits for its outcome; of many that were made without a connection each is only confirmed. */
export async function tell(command: Command, alone: boolean, heard: Heard): Promise<Verdict> {
  const headers = { "Content-Type": "application/json", ...(alone ? { Prefer: WAIT } : {}) };
  const request = new Request(addressed(pathOf(command)), { method: "POST", body: JSON.stringify(command.body), headers });
  try {
    const answer = await send(request, { patient: false, seconds: POST_SECONDS });
    listen(answer, heard);
    return verdictOf(command.id, { status: answer.status, body: await answer.json().catch(() => null), retryAfter: null });
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    const retryAfter = problem.retryAfterSeconds === null ? null : String(problem.retryAfterSeconds);
    return verdictOf(command.id, { status: problem.status, body: problem.members, retryAfter });
  }
}

/** What became of a command that had been accepted; null while nobody knows. */
export async function outcome(command: Command): Promise<Verdict | null> {
  const told = await read<Record<string, unknown>>(`${ROOT}/events/${command.id}`);
  if (told["status"] === "recorded") return { kind: "recorded" };
  if (told["status"] !== "refused") return null;
  const reason = isObject(told["reason"]) ? told["reason"]["code"] : told["reason"];
  const code = typeof reason === "string" ? reason : "refused";
  return { kind: "refused", problem: { status: 409, code, title: "" } satisfies Refusal };
}

/** One page of the products; "same" when `etag` still names what there is. */
export async function productPage(path: string, etag: string | null): Promise<Page | "same"> {
  const headers: Record<string, string> = etag === null ? {} : { "If-None-Match": etag };
  const answer = await send(new Request(addressed(path), { headers, cache: "no-store" }), { patient: false, seconds: READ_SECONDS });
  if (answer.status === 304) return "same";
  const { items } = (await answer.json()) as { items: Product[] };
  return { products: items.map(slim), next: nextOf(answer), etag: answer.headers.get("ETag") };
}

/** Every level of a store, a page at a time. */
export async function* allLevels(store: string): AsyncGenerator<Told[]> {
  let path: string | null = `/stock?store=${encodeURIComponent(store)}&limit=500`;
  while (path !== null) {
    const answer: Response = await send(new Request(addressed(path)), { patient: false, seconds: READ_SECONDS });
    yield levelsOf(((await answer.json()) as { items: StockRow[] }).items);
    path = nextOf(answer);
  }
}

/** The levels of the products that these words or this SKU mean. */
export async function someLevels(store: string, wanted: { search: string } | { sku: string }): Promise<Told[]> {
  const query = new URLSearchParams({ store, limit: "40", ...wanted });
  return levelsOf((await read<{ items: StockRow[] }>(`${ROOT}/stock?${query}`)).items);
}

/** Products that this till has never heard of. */
export async function searchAfar(wanted: { search: string } | { barcode: string }): Promise<Product[]> {
  const query = new URLSearchParams({ limit: "20", ...wanted });
  const { items } = await read<{ items: Product[] }>(`${ROOT}/products?${query}`);
  return items.filter((each) => each.active).map(slim);
}

export async function salesOf(store: string, from: string, to: string): Promise<FarSale[]> {
  const query = new URLSearchParams({ from, to, limit: "200" });
  return (await read<{ items: FarSale[] }>(`${ROOT}/stores/${encodeURIComponent(store)}/sales?${query}`)).items;
}

export async function saleOf(store: string, id: string): Promise<FarSaleDetail> {
  return read<FarSaleDetail>(`${ROOT}/stores/${encodeURIComponent(store)}/sales/${id}`);
}

function addressed(path: string): URL {
  return new URL(path.startsWith(ROOT) ? path : ROOT + path, location.origin);
}

function nextOf(answer: Response): string | null {
  return /<([^>]+)>;\s*rel="next"/.exec(answer.headers.get("Link") ?? "")?.[1] ?? null;
}

function levelsOf(items: readonly StockRow[]): Told[] {
  return items.map((row) => ({ sku: row.sku, onHand: row.on_hand, inTransit: row.in_transit }));
}

function slim({ sku, name, category, price, barcode, active }: Product): Product {
  const both = ({ fr, en }: Bilingual): Bilingual => ({ fr, en });
  return { sku, name: both(name), category: both(category), price, barcode: barcode ?? null, active };
}

function listen(answer: Response, heard: Heard): void {
  const there = Date.parse(answer.headers.get("Date") ?? "");
  if (Number.isNaN(there)) return;
  const behind = there - Date.now();
  heard(Math.abs(behind) > TOLERATED_MS ? behind : 0);
}
