/** Who is signed in, and with which token does a request go out? Survives a reload; an expired session keeps the page. */
import { computed, reactive, ref } from "vue";
import { language } from "./i18n";
import { Problem, asProblem, problemOf } from "./problem";

export type Role = "caissier" | "gestionnaire" | "operateur" | "admin";

export interface Who {
  username: string;
  role: Role;
  stores: string[];
}

interface Kept extends Who {
  refresh_token: string;
}

const KEY = "magasin.session";
const EARLY_MS = 20_000;
const REQUEST_MS = 20_000;

const state = reactive<{ kept: Kept | null; expired: boolean }>({ kept: read(), expired: false });
let access: { token: string; until: number } | null = null;
let renewing: Promise<string> | null = null;
let again: { promise: Promise<void>; done: () => void; fail: (problem: Problem) => void } | null = null;

/** Who is signed in; null before. Known at once after a reload, also offline. */
export const who = computed<Who | null>(() => state.kept);

/** Whether the server wants the password again. The page stays; `signIn` ends it. */
export const expired = computed(() => state.expired);

/** Changes with every sign-in, so that somebody follows who needs a token. */
export const signIns = ref(0);

export const everyStore = computed(() => state.kept?.stores.includes("*") ?? false);

/** Whether the person may act for this store. */
export const mayUse = (store: string): boolean => everyStore.value || (state.kept?.stores.includes(store) ?? false);

function read(): Kept | null {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "null") as Kept | null;
  } catch {
    return null;
  }
}

function keep(next: Kept | null): void {
  state.kept = next;
  if (next) localStorage.setItem(KEY, JSON.stringify(next));
  else localStorage.removeItem(KEY);
}

async function ask(path: string, body: BodyInit, type: string): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(`/api/v2/auth/${path}`, {
      method: "POST",
      body,
      headers: { "Content-Type": type, "Accept-Language": language.value },
      signal: AbortSignal.timeout(REQUEST_MS),
    });
  } catch (error) {
    throw asProblem(error);
  }
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

interface Told {
  access_token: string;
  refresh_token: string;
  expires_in: number;
  role: Role;
  stores: string[];
}

function taken(told: Told, username: string): string {
  access = { token: told.access_token, until: Date.now() + told.expires_in * 1000 };
  keep({ username, role: told.role, stores: told.stores, refresh_token: told.refresh_token });
  return told.access_token;
}

/** Signs in. Raises Problem (401 `bad_credentials`, 429, offline). */
export async function signIn(username: string, password: string): Promise<void> {
  const answer = await ask("token", new URLSearchParams({ username, password }), "application/x-www-form-urlencoded");
  taken((await answer.json()) as Told, username);
  state.expired = false;
  signIns.value++;
  again?.done();
  again = null;
}

/** Forgets the session here and, as far as it can be reached, at the server. */
export async function signOut(): Promise<void> {
  const refresh = state.kept?.refresh_token;
  access = null;
  keep(null);
  state.expired = false;
  again?.fail(new Problem(401, "signed_out", ""));
  again = null;
  if (refresh) await ask("logout", JSON.stringify({ refresh_token: refresh }), "application/json").catch(() => undefined);
}

/** Takes what a changed password answered: this browser stays signed in. */
export function renewed(told: Told): void {
  if (state.kept) taken(told, state.kept.username);
}

/** The token of the next request. Raises Problem: 401 when the password is needed again, offline when nobody answers. */
export function bearer(): Promise<string> {
  if (access && access.until - EARLY_MS > Date.now()) return Promise.resolve(access.token);
  renewing ??= alone(renew).finally(() => {
    renewing = null;
  });
  return renewing;
}

/** The server refused the token that was thought to be good. */
export function spent(token: string): void {
  if (access?.token === token) access = null;
}

/** Resolves when somebody has signed in again. Raises Problem when they sign out instead. */
export function signedInAgain(): Promise<void> {
  if (!again) {
    let done!: () => void;
    let fail!: (problem: Problem) => void;
    const promise = new Promise<void>((resolve, reject) => {
      done = resolve;
      fail = reject;
    });
    again = { promise, done, fail };
  }
  return again.promise;
}

// A refresh token is good for one use, and every tab has the same: they renew one after the other.
const alone = <Result>(work: () => Promise<Result>): Promise<Result> =>
  navigator.locks ? (navigator.locks.request(KEY, work) as Promise<Result>) : work();

async function renew(): Promise<string> {
  const kept = read();
  if (!kept || state.expired) throw expire();
  try {
    const answer = await ask("refresh", JSON.stringify({ refresh_token: kept.refresh_token }), "application/json");
    return taken((await answer.json()) as Told, kept.username);
  } catch (problem) {
    throw problem instanceof Problem && problem.status === 401 ? expire() : problem;
  }
}

function expire(): Problem {
  if (state.kept) state.expired = true;
  return new Problem(401, "session_expired", "");
}

globalThis.addEventListener?.("storage", (event) => {
  if (event.key !== KEY) return;
  const next = read();
  if (next?.username !== state.kept?.username) location.reload();
  else if (next) {
    state.kept = next;
    if (state.expired) {
      state.expired = false;
      signIns.value++;
      again?.done();
      again = null;
    }
  }
});
