import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { uuid7 } from "@/app/ids";
import type { Command, Sale } from "./commands";
import { pathOf } from "./commands";
import { type Drafted, type Numbers, Outbox, type Send } from "./outbox";
import { openStorage, type Storage, StorageFullError } from "./storage";
import { type Verdict, verdictOf } from "./verdict";

const STORE = "montreal";
const LOST: Verdict = { kind: "unknown", why: "offline" };
const BAD = { status: 422, code: "invalid_content", title: "Contenu non valide" };

let storage: Storage;
let name: string;

beforeEach(async () => {
  name = uuid7();
  storage = await openStorage(name);
});

function sale(sku: string, store = STORE): (numbers: Numbers) => Drafted {
  return ({ id, tillId, tillSeq }) => {
    const at = new Date().toISOString();
    const body = {
      sale_id: id,
      till_id: tillId,
      till_seq: tillSeq,
      occurred_at: at,
      lines: [{ sku, quantity: 1, unit_price: "2.50" }],
      payment: { method: "card" as const },
    };
    return { kind: "sale", store, madeAt: at, by: "caissier", names: {}, body };
  };
}

/** A system that keeps what it gets under its id, as ours does; `answers` says what happens to each attempt, then everything arrives. */
function system(...answers: ("fine" | "lost before" | "lost after" | Verdict)[]): { recorded: Map<string, Sale>; sent: Command[]; send: Send } {
  const recorded = new Map<string, Sale>();
  const sent: Command[] = [];
  const send: Send = async (command) => {
    const answer = answers.shift() ?? "fine";
    sent.push(command);
    if (typeof answer !== "string") return answer;
    if (answer === "lost before") return LOST;
    if (command.kind === "sale" && !recorded.has(command.id)) recorded.set(command.id, command);
    return answer === "lost after" ? LOST : { kind: "recorded" };
  };
  return { recorded, sent, send };
}

const skus = (recorded: Map<string, Sale>): string[] => [...recorded.values()].map((each) => each.body.lines[0]!.sku);
const states = async (outbox: Outbox): Promise<string[]> => (await outbox.all()).reverse().map((each) => each.state);

describe("keeping", () => {
  it("gives every sale an id and the till's next number, which are on the disk before anything is sent", async () => {
    const outbox = new Outbox(storage);
    const kept = [await outbox.keep(STORE, "sale", sale("A")), await outbox.keep(STORE, "sale", sale("B"))] as Sale[];
    expect(kept.map((each) => each.body.till_seq)).toEqual([1, 2]);
    expect(new Set(kept.map((each) => each.body.till_id)).size).toBe(1);
    expect(kept.every((each) => each.id === each.body.sale_id)).toBe(true);
    storage.close();
    const reopened = new Outbox(await openStorage(name));
    expect((await reopened.all()).map((each) => each.id).reverse()).toEqual(kept.map((each) => each.id));
    expect(await reopened.waiting()).toBe(2);
  });

  it("numbers every store's sales by themselves, and never gives a number twice, not even at once", async () => {
    const [one, other] = [new Outbox(storage), new Outbox(await openStorage(name))];
    const kept = (await Promise.all(Array.from({ length: 20 }, (_, n) => (n % 2 ? one : other).keep(STORE, "sale", sale("A"))))) as Sale[];
    expect(kept.map((each) => each.body.till_seq).sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
    expect(((await one.keep("quebec", "sale", sale("A", "quebec"))) as Sale).body.till_seq).toBe(1);
  });

  it("goes on counting after the page was closed", async () => {
    await new Outbox(storage).keep(STORE, "sale", sale("A"));
    storage.close();
    const kept = (await new Outbox(await openStorage(name)).keep(STORE, "sale", sale("B"))) as Sale;
    expect(kept.body.till_seq).toBe(2);
  });

  it("empties the cart with the very transaction that keeps the sale", async () => {
    const outbox = new Outbox(storage);
    await storage.put("kept", ["a line"], "cart");
    await outbox.keep(STORE, "sale", sale("A"), "cart");
    expect(await storage.get("kept", "cart")).toBeUndefined();
  });

  it("takes a number for sales only", async () => {
    const outbox = new Outbox(storage);
    await outbox.keep(STORE, "void", ({ id }) => ({ kind: "void", store: STORE, subject: "x", madeAt: "", by: "", names: {}, body: { void_id: id, occurred_at: "", reason: "erreur" } }));
    expect(((await outbox.keep(STORE, "sale", sale("A"))) as Sale).body.till_seq).toBe(1);
  });
});

describe("sending", () => {
  it("keeps the order in which sales were made", async () => {
    const outbox = new Outbox(storage);
    for (const each of "ABCDE") await outbox.keep(STORE, "sale", sale(each));
    const { recorded, send } = system();
    expect(await outbox.drain(send)).toEqual({ why: "idle" });
    expect(skus(recorded)).toEqual([..."ABCDE"]);
    expect(await states(outbox)).toEqual(Array(5).fill("recorded"));
  });

  it("stops at the first that got no answer, and goes on with that very one", async () => {
    const outbox = new Outbox(storage);
    for (const each of "ABC") await outbox.keep(STORE, "sale", sale(each));
    const { recorded, sent, send } = system("fine", "lost before", "lost after");
    expect((await outbox.drain(send)).why).toBe("offline");
    expect(await states(outbox)).toEqual(["recorded", "waiting", "waiting"]);
    expect((await outbox.drain(send)).why).toBe("offline");
    expect((await outbox.drain(send)).why).toBe("idle");
    expect(skus(recorded)).toEqual([..."ABC"]);
    expect(sent.map((each) => (each as Sale).body.lines[0]!.sku)).toEqual(["A", "B", "B", "B", "C"]);
    expect(new Set(sent.map((each) => JSON.stringify(each.body))).size).toBe(3);
  });

  it("sends again, under the same id, what was on its way when the page was closed", async () => {
    const outbox = new Outbox(storage);
    await outbox.keep(STORE, "sale", sale("A"));
    const { recorded, sent, send } = system("lost after");
    await new Promise<void>((underWay) => {
      void outbox.drain((command, alone) => {
        underWay();
        void send(command, alone);
        return new Promise<Verdict>(() => undefined);
      });
    });
    storage.close();
    const reopened = new Outbox(await openStorage(name));
    await reopened.drain(send);
    expect(recorded.size).toBe(1);
    expect(sent.map((each) => each.id)).toEqual([sent[0]!.id, sent[0]!.id]);
    expect(await states(reopened)).toEqual(["recorded"]);
  });

  it("takes along what is made while it runs", async () => {
    const outbox = new Outbox(storage);
    await outbox.keep(STORE, "sale", sale("A"));
    const { recorded, send } = system();
    let late: Promise<unknown> | null = null;
    await outbox.drain(async (command, alone) => {
      late ??= outbox.keep(STORE, "sale", sale("B")).then(() => outbox.drain(send));
      await vi.waitFor(async () => expect(await outbox.waiting()).toBeGreaterThan(recorded.size === 0 ? 1 : 0));
      return send(command, alone);
    });
    await late;
    expect(skus(recorded)).toEqual(["A", "B"]);
  });

  it("runs once at a time", async () => {
    const outbox = new Outbox(storage);
    for (const each of "ABC") await outbox.keep(STORE, "sale", sale(each));
    const { sent, send } = system();
    await Promise.all([outbox.drain(send), outbox.drain(send), outbox.drain(send)]);
    expect(sent).toHaveLength(3);
  });

  it("leaves to others what their stores have sold", async () => {
    const outbox = new Outbox(storage);
    await outbox.keep("quebec", "sale", sale("Q", "quebec"));
    await outbox.keep(STORE, "sale", sale("A"));
    const { recorded, send } = system();
    await outbox.drain(send, (store) => store === STORE);
    expect(skus(recorded)).toEqual(["A"]);
    expect(await outbox.waiting()).toBe(1);
  });

  it("goes round a sale that the system keeps failing on, but not round what is about that sale", async () => {
    const outbox = new Outbox(storage);
    const stuck = await outbox.keep(STORE, "sale", sale("A"));
    await outbox.keep(STORE, "void", ({ id }) => ({ kind: "void", store: STORE, subject: stuck.id, madeAt: "", by: "", names: {}, body: { void_id: id, occurred_at: "", reason: "erreur" } }));
    await outbox.keep(STORE, "sale", sale("B"));
    const failure: Verdict = { kind: "unknown", why: "busy", problem: { status: 500, code: "internal_error", title: "Panne" } };
    const failing: Send = async (command) => (command.id === stuck.id ? failure : { kind: "recorded" });
    for (let n = 0; n < 4; n += 1) await outbox.drain(failing);
    expect(await states(outbox)).toEqual(["waiting", "waiting", "waiting"]);
    expect((await outbox.drain(failing)).why).toBe("busy");
    expect(await states(outbox)).toEqual(["waiting", "waiting", "recorded"]);
  });
});

describe("refusals", () => {
  it("stay, hold up nobody, and can be tried again under the same id", async () => {
    const outbox = new Outbox(storage);
    for (const each of "ABC") await outbox.keep(STORE, "sale", sale(each));
    const { recorded, sent, send } = system("fine", { kind: "refused", problem: BAD });
    await outbox.drain(send);
    expect(await states(outbox)).toEqual(["recorded", "refused", "recorded"]);
    const refused = (await outbox.all()).find((each) => each.state === "refused")!;
    expect(refused.problem).toEqual(BAD);
    await outbox.retry(refused.id);
    await outbox.drain(send);
    expect(await states(outbox)).toEqual(["recorded", "recorded", "recorded"]);
    expect(recorded.has(refused.id)).toBe(true);
    expect(sent.filter((each) => each.id === refused.id)).toHaveLength(2);
    expect((await outbox.byId(refused.id))?.problem).toBeUndefined();
  });

  it("can be given up, and are kept for ever until then", async () => {
    let now = Date.now();
    const outbox = new Outbox(storage, undefined, () => now);
    await outbox.keep(STORE, "sale", sale("A"));
    await outbox.drain(system({ kind: "refused", problem: BAD }).send);
    now += 365 * 86_400_000;
    await outbox.forget();
    expect(await states(outbox)).toEqual(["refused"]);
    await outbox.abandon((await outbox.all())[0]!.id);
    expect(await states(outbox)).toEqual(["abandoned"]);
    await outbox.forget();
    expect(await states(outbox)).toEqual(["abandoned"]);
    now += 31 * 86_400_000;
    await outbox.forget();
    expect(await states(outbox)).toEqual([]);
  });

  it("may come after a sale had been accepted", async () => {
    const outbox = new Outbox(storage);
    const kept = await outbox.keep(STORE, "sale", sale("A"));
    await outbox.drain(async () => ({ kind: "accepted" }));
    expect((await outbox.undecided(9)).map((each) => each.id)).toEqual([kept.id]);
    await outbox.decide(kept.id, { kind: "refused", problem: BAD });
    expect(await states(outbox)).toEqual(["refused"]);
    await outbox.decide(kept.id, { kind: "recorded" });
    expect(await states(outbox)).toEqual(["refused"]);
  });
});

describe("a full storage", () => {
  /** From now on no command is taken, as long as `full` says so. */
  function fill(full: () => boolean): void {
    const add = IDBObjectStore.prototype.add;
    vi.spyOn(IDBObjectStore.prototype, "add").mockImplementation(function (this: IDBObjectStore, ...given) {
      if (full()) throw new DOMException("full", "QuotaExceededError");
      return add.apply(this, given);
    });
  }

  afterEach(() => {
    vi.restoreAllMocks();
  });

  it("is told, and neither a number nor half a sale is left behind", async () => {
    const outbox = new Outbox(storage);
    fill(() => true);
    await expect(outbox.keep(STORE, "sale", sale("A"))).rejects.toBeInstanceOf(StorageFullError);
    vi.restoreAllMocks();
    expect(await outbox.all()).toEqual([]);
    expect(((await outbox.keep(STORE, "sale", sale("A"))) as Sale).body.till_seq).toBe(1);
  });

  it("is helped once by throwing away what can be had again, and never a sale that waits", async () => {
    let now = Date.now();
    const outbox = new Outbox(storage, undefined, () => now);
    await outbox.keep(STORE, "sale", sale("OLD"));
    await outbox.drain(system().send);
    await outbox.keep(STORE, "sale", sale("WAITS"));
    await storage.put("catalogue", [], 0);
    now += 3 * 86_400_000;
    let tries = 0;
    fill(() => (tries += 1) === 1);
    await outbox.keep(STORE, "sale", sale("NEW"));
    expect((await outbox.all()).map((each) => (each as Sale).body.lines[0]!.sku)).toEqual(["NEW", "WAITS"]);
    expect(await storage.count("catalogue")).toBe(0);
  });

  it("is no other trouble: that one is passed on as it is", async () => {
    storage.close();
    await expect(new Outbox(storage).keep(STORE, "sale", sale("A"))).rejects.not.toBeInstanceOf(StorageFullError);
  });
});

describe("an answer", () => {
  const id = uuid7();
  const answered = (status: number, body: unknown = {}, retryAfter: string | null = null): Verdict => verdictOf(id, { status, body, retryAfter });

  it("counts only when it names the sale", () => {
    expect(answered(202, { event_id: id, status: "accepted" }).kind).toBe("accepted");
    expect(answered(201, { event_id: id, status: "recorded", seq: 4 }).kind).toBe("recorded");
    expect(answered(200, null)).toEqual({ kind: "unknown", why: "offline" });
    expect(answered(202, { event_id: uuid7() })).toEqual({ kind: "unknown", why: "offline" });
  });

  it("refuses for good with every 4xx that is about the sale", () => {
    for (const status of [400, 403, 404, 413, 415, 422]) expect(answered(status).kind).toBe("refused");
    for (const status of [401, 408, 409, 425, 429, 500, 502, 503, 504]) expect(answered(status).kind).toBe("unknown");
  });

  it("refuses for good with a 409 that a rule has written into the log", () => {
    const body = { seq: 12, code: "insufficient_stock", title: "Stock insuffisant", available: { A: 1 } };
    expect(answered(409, body)).toEqual({ kind: "refused", problem: { status: 409, code: "insufficient_stock", title: "Stock insuffisant", available: { A: 1 } } });
  });

  it("says when to come back, within reason, and when to sign in", () => {
    expect(answered(503, {}, "5")).toMatchObject({ why: "busy", retrySeconds: 5 });
    expect(answered(429, {}, "999999")).toMatchObject({ retrySeconds: 300 });
    expect(answered(401)).toMatchObject({ why: "signin" });
  });
});

describe("a path", () => {
  it("leads to the sale that it is about", async () => {
    const kept = await new Outbox(storage).keep("a b", "sale", sale("A", "a b"));
    expect(pathOf(kept)).toBe("/stores/a%20b/sales");
  });
});
