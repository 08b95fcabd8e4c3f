/** Reads by address: what is shown, its next page, its table and its explanation are one address with other parameters. */
import { send } from "@/app/http";
import type { Listed } from "@/app/queries";

export type Asked = Record<string, string | number | boolean | readonly string[] | null | undefined>;

/** `/api/v2/<path>?…` without what is not asked; a list is one parameter several times. */
export function addressOf(path: string, asked: Asked = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(asked)) {
    if (value == null || value === false) continue;
    for (const each of Array.isArray(value) ? value : [value]) query.append(name, String(each));
  }
  const text = query.toString();
  return `/api/v2/${path}${text && `?${text}`}`;
}

/** Where the next page begins, as a Link header says it; null at the end. */
export function nextOf(link: string | null): string | null {
  const target = /<([^>]+)>;\s*rel="?next"?/.exec(link ?? "")?.[1];
  return target ? new URL(target, "http://any").searchParams.get("after") : null;
}

export async function readPage<Body>(path: string, asked: Asked, signal?: AbortSignal): Promise<{ body: Body; next: string | null }> {
  const answer = await send(new Request(new URL(addressOf(path, asked), location.origin), { signal }));
  return { body: (await answer.json()) as Body, next: nextOf(answer.headers.get("Link")) };
}

/** One page of a list with where the next one begins. */
export type ListPage<Row> = Listed<Row> & { next: string | null };

export async function readList<Row>(path: string, asked: Asked, signal?: AbortSignal): Promise<ListPage<Row>> {
  const { body, next } = await readPage<Listed<Row>>(path, asked, signal);
  return { ...body, next };
}

/** Page after page, until the end or until there are `most` rows. */
export async function readAll<Row>(path: string, asked: Asked, most: number, signal?: AbortSignal): Promise<ListPage<Row>> {
  const whole = await readList<Row>(path, asked, signal);
  while (whole.next !== null && whole.items.length < most) {
    const page = await readList<Row>(path, { ...asked, after: whole.next }, signal);
    whole.items.push(...page.items);
    whole.next = page.next;
  }
  return whole;
}
