/** What somebody has counted so far, kept in the browser until it is sent: a phone that goes dark forgets nothing. */
export interface Draft {
  count_id: string;
  lines: Record<string, { counted: number; counted_at: string }>;
}

const key = (store: string) => `magasin.count.${store}`;

export function readDraft(store: string): Draft | null {
  try {
    const kept = JSON.parse(localStorage.getItem(key(store)) ?? "null") as Draft | null;
    return kept && typeof kept.count_id === "string" && typeof kept.lines === "object" ? kept : null;
  } catch {
    return null;
  }
}

export const keepDraft = (store: string, draft: Draft): void => localStorage.setItem(key(store), JSON.stringify(draft));

export const dropDraft = (store: string): void => localStorage.removeItem(key(store));

/** What lies there is a whole number from 0; anything else is no count. */
export function countOf(text: string): number | null {
  return /^\d{1,7}$/.test(text.trim()) ? Number(text.trim()) : null;
}
