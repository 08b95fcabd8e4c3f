/** What changes is told at once: one stream of Server-Sent Events for the whole page, read by fetch since EventSource sends no token. */
import { readonly, ref, watch } from "vue";
import { online, reached, send } from "./http";
import { Problem } from "./problem";
import { readAnew } from "./queries";
import { signIns, signedInAgain, who } from "./session";

export interface Changed {
  at: string;
  stores: { store_id: string; seq: number; types: string[] }[];
}

export type LiveState = "online" | "connecting" | "offline";

const CALM_MS = 250;
const LONGEST_MS = 15_000;
const SILENT_MS = 45_000;
const state = ref<LiveState>("connecting");
const heardAt = ref<string | null>(null);
const listeners = new Set<(change: Changed) => void>();

/** Whether changes arrive. */
export const live = readonly(state);

/** When the last change was announced. */
export const lastChange = readonly(heardAt);

/** Calls back with every announcement; answers how to stop that. */
export function onChanged(listener: (change: Changed) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

let waiting: Set<string> | "everything" = new Set();
let timer: ReturnType<typeof setTimeout> | undefined;

/** Reads anew what is on the screen and concerned, at most four times a second. */
function refresh(types: Iterable<string> | "everything"): void {
  if (types === "everything" || waiting === "everything") waiting = "everything";
  else for (const type of types) waiting.add(type);
  timer ??= setTimeout(() => {
    const changed = waiting;
    waiting = new Set();
    timer = undefined;
    readAnew(({ meta }) => {
      const wanted = meta?.["live"];
      if (!wanted) return false;
      return wanted === true || changed === "everything" || (wanted as string[]).some((type) => changed.has(type));
    });
  }, CALM_MS);
}

let running: AbortController | null = null;

/** Follows as long as somebody is signed in. Called once, by main.ts. */
export function startLive(): void {
  watch(
    [() => who.value?.username, signIns],
    ([username]) => {
      running?.abort();
      running = username ? new AbortController() : null;
      if (running) void follow(running.signal);
    },
    { immediate: true },
  );
  globalThis.addEventListener("online", () => wake?.());
  watch(online, (now) => now && wake?.());
}

let wake: (() => void) | null = null;

const pause = (ms: number) =>
  new Promise<void>((resolve) => {
    const timeout = setTimeout(resolve, ms);
    wake = () => {
      clearTimeout(timeout);
      resolve();
    };
  });

async function follow(signal: AbortSignal): Promise<void> {
  let last: string | null = null;
  let first = true;
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      if (state.value === "online") state.value = "connecting";
      const headers: Record<string, string> = last ? { "Last-Event-ID": last } : {};
      const answer = await send(new Request(new URL("/api/v2/live", location.origin), { headers, signal }), { seconds: 0, patient: false });
      state.value = "online";
      failures = 0;
      if (!first && last === null) refresh("everything");
      first = false;
      for await (const event of eventsOf(answer.body!)) {
        last = event.id ?? last;
        if (event.name === "reset") refresh("everything");
        if (event.name === "changed") heard(JSON.parse(event.text) as Changed);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.code === "session_expired") {
        state.value = "offline";
        await signedInAgain().catch(() => undefined);
        continue;
      }
      if (!(error instanceof Problem)) reached(false);
      state.value = "offline";
    }
    if (failures > 0) await pause(Math.min(LONGEST_MS, 500 * 2 ** Math.min(failures, 5)) * (0.75 + Math.random() / 2));
  }
}

function heard(change: Changed): void {
  heardAt.value = change.at;
  for (const listener of listeners) listener(change);
  refresh(change.stores.flatMap((each) => each.types));
}

/** The server says something every 15 seconds: a line that stays silent for three times as long is broken, though nobody has told us. */
async function inTime<Read>(reading: Promise<Read>): Promise<Read> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, fail) => (timer = setTimeout(() => fail(new Error("silence")), SILENT_MS)));
  try {
    return await Promise.race([reading, silence]);
  } finally {
    clearTimeout(timer);
  }
}

export interface StreamEvent {
  id: string | null;
  name: string;
  text: string;
}

/** The events of a stream, however it was cut into pieces. */
export async function* eventsOf(body: ReadableStream<Uint8Array>): AsyncGenerator<StreamEvent> {
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await inTime(reader.read()).catch((silence: unknown) => {
      void reader.cancel().catch(() => undefined);
      throw silence;
    });
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop()!;
    for (const block of blocks) {
      const fields = new Map(
        block
          .split("\n")
          .filter((line) => /^\w/.test(line))
          .map((line) => line.split(/: ?(.*)/s, 2) as [string, string]),
      );
      if (fields.has("id") || fields.has("event")) {
        yield { id: fields.get("id") ?? null, name: fields.get("event") ?? "", text: fields.get("data") ?? "" };
      }
    }
  }
}
