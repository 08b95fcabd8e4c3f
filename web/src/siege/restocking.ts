/** What has been asked for of a product that runs out, and how much should be? */

export const OPEN = ["requested", "approved", "shipped", "partially_received"] as const;
export type RestockStatus = (typeof OPEN)[number] | "rejected" | "cancelled" | "received";

export interface RestockLine {
  sku: string;
  name: { fr: string; en: string } | null;
  requested: number;
  approved: number;
  shipped: number;
  received: number;
  damaged: number;
  missing: number;
}

export interface Restock {
  restock_id: string;
  from_store: string;
  to_store: string;
  status: RestockStatus;
  requested_by: string;
  requested_at: string;
  note: string | null;
  reason: string | null;
  lines: RestockLine[];
}

/** A row of `low-stock`. */
export interface Alert {
  store_id: string;
  sku: string;
  name: { fr: string; en: string } | null;
  on_hand: number;
  reorder_point: number | null;
  target_level: number | null;
  status: "low" | "out" | "negative";
  units_28_days: number;
  days_left: number | null;
}

const FAR: Record<RestockStatus, number> = {
  partially_received: 5,
  shipped: 4,
  approved: 3,
  requested: 2,
  received: 1,
  rejected: 0,
  cancelled: 0,
};

const cell = (store: string, sku: string): string => `${store}\n${sku}`;

/** For each store and product the restock under way that is furthest; an answer that was read later replaces nothing that is further. */
export class UnderWay {
  private readonly furthest = new Map<string, Restock>();

  constructor(restocks: Iterable<Restock>) {
    for (const each of restocks) {
      if (!OPEN.includes(each.status as (typeof OPEN)[number])) continue;
      for (const line of each.lines) {
        const key = cell(each.to_store, line.sku);
        const known = this.furthest.get(key);
        if (!known || FAR[each.status] > FAR[known.status]) this.furthest.set(key, each);
      }
    }
  }

  of(store: string, sku: string): Restock | null {
    return this.furthest.get(cell(store, sku)) ?? null;
  }
}

const COVER_DAYS = 14;
const PACE_DAYS = 28;

/** How much to ask for: up to the shop's own target, or what fourteen days sell, and always more than the reorder point; one at least. */
export function quantityFor(alert: Alert): number {
  const goal = Math.max(
    alert.target_level ?? Math.ceil((Math.max(0, alert.units_28_days) * COVER_DAYS) / PACE_DAYS),
    (alert.reorder_point ?? 0) + 1,
    1,
  );
  return Math.max(1, goal - alert.on_hand);
}

/** How soon it matters, for a word and a colour: gone, gone this week, later, or not selling. */
export function urgency(alert: Alert): "gone" | "soon" | "later" | "still" {
  if (alert.on_hand <= 0) return alert.units_28_days > 0 ? "gone" : "still";
  if (alert.days_left === null) return "still";
  return alert.days_left < 7 ? "soon" : "later";
}

/** Which steps may follow, in the order in which they are usually taken. */
export function stepsOf(status: RestockStatus): ("approve" | "reject" | "ship" | "receive" | "cancel")[] {
  switch (status) {
    case "requested":
      return ["approve", "reject", "cancel"];
    case "approved":
      return ["ship", "cancel"];
    case "shipped":
    case "partially_received":
      return ["receive"];
    default:
      return [];
  }
}

/** What has left and is not there yet, of one line. */
export const onTheWay = (line: RestockLine): number => Math.max(0, line.shipped - line.received - line.damaged);

/** How each state looks beside its word. */
export const STATUS_TONE: Record<RestockStatus, "neutral" | "accent" | "good" | "warn" | "bad"> = {
  requested: "warn",
  approved: "accent",
  shipped: "accent",
  partially_received: "accent",
  received: "good",
  rejected: "bad",
  cancelled: "neutral",
};
