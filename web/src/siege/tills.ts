/** Which stores are silent, and which tills owe sales? */

/** A row of the report `tills`. */
export interface Till {
  store_id: string;
  till_id: string;
  missing: number;
  gaps: { from: number; to: number }[];
  last_sale_at: string | null;
  last_heard_at: string | null;
  silent: boolean;
}

export interface Voice {
  heardAt: string | null;
  /** Tills that have been silent for too long, and all of them. */
  silent: number;
  tills: number;
  missing: number;
}

/** Each store that has tills, or was heard since the page was opened: when it was heard last, and what it owes. */
export function voices(tills: readonly Till[], announced: ReadonlyMap<string, string> = new Map()): Map<string, Voice> {
  const found = new Map<string, Voice>([...announced].map(([store, heardAt]) => [store, { heardAt, silent: 0, tills: 0, missing: 0 }]));
  for (const till of tills) {
    const voice = found.get(till.store_id) ?? { heardAt: null, silent: 0, tills: 0, missing: 0 };
    if (till.last_heard_at && (!voice.heardAt || Date.parse(till.last_heard_at) > Date.parse(voice.heardAt))) voice.heardAt = till.last_heard_at;
    voice.tills += 1;
    voice.silent += till.silent ? 1 : 0;
    voice.missing += till.missing;
    found.set(till.store_id, voice);
  }
  return found;
}

/** A store is silent when none of its tills was heard from in time; one without tills says nothing about itself. */
export const isSilent = (voice: Voice | undefined): boolean => voice !== undefined && voice.tills > 0 && voice.silent === voice.tills;

/** The tills to look after: those that owe most first, then the silent ones, the longest silent first. */
export function toLookAfter(tills: readonly Till[]): Till[] {
  const heard = (till: Till) => (till.last_heard_at ? Date.parse(till.last_heard_at) : 0);
  return tills
    .filter((till) => till.missing > 0 || till.silent)
    .sort((one, other) => other.missing - one.missing || heard(one) - heard(other) || one.till_id.localeCompare(other.till_id));
}
