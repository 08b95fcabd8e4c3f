/** The only way to the server: adds the token and the language, renews, tells whether the server is reached, and throws Problems. */
import { readonly, ref } from "vue";
import type { CreateClientConfig } from "@/api/client.gen";
import { language } from "./i18n";
import { Problem, asProblem, problemOf } from "./problem";
import { bearer, signedInAgain, spent } from "./session";

export interface Manner {
  /** Wait for the person when the session has expired (default), or throw the 401 at once. */
  patient?: boolean;
  /** How long the whole exchange may take; 0: without end. */
  seconds?: number;
}

const reachable = ref(navigator.onLine);

/** Whether the last request reached the server. */
export const online = readonly(reachable);

globalThis.addEventListener?.("offline", () => (reachable.value = false));

/** The server was reached, or not, by a way that does not lead through here. */
export const reached = (whether: boolean): void => void (reachable.value = whether);

/** Sends a request; answers a response that is ok or 304. Raises Problem; an AbortError when `request.signal` says so. */
export async function send(request: Request, { patient = true, seconds = 60 }: Manner = {}): Promise<Response> {
  for (let tries = 0; ; tries++) {
    try {
      const token = await bearer();
      const answer = await once(request, token, seconds);
      if (answer.ok || answer.status === 304) return answer;
      const problem = await problemOf(answer);
      if (answer.status !== 401) throw problem;
      spent(token);
      if (tries > 2) throw problem;
    } catch (error) {
      if (request.signal.aborted || !(error instanceof Problem)) throw error;
      if (error.offline) reachable.value = false;
      if (error.code !== "session_expired" || !patient) throw error;
      await signedInAgain();
    }
  }
}

async function once(request: Request, token: string, seconds: number): Promise<Response> {
  const copy = request.clone();
  const headers = new Headers(copy.headers);
  headers.set("Authorization", `Bearer ${token}`);
  headers.set("Accept-Language", language.value);
  const signal = seconds ? AbortSignal.any([request.signal, AbortSignal.timeout(seconds * 1000)]) : request.signal;
  try {
    const answer = await fetch(copy, { headers, signal });
    reachable.value = true;
    return answer;
  } catch (error) {
    if (request.signal.aborted) throw error;
    throw asProblem(error);
  }
}

/** Posts JSON to a path of the API by hand, where the generated client does not reach. */
export async function post<Answer>(path: string, body: unknown, headers: Record<string, string> = {}, manner?: Manner): Promise<Answer> {
  const request = new Request(new URL(path, location.origin), {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json", ...headers },
  });
  return (await (await send(request, manner)).json()) as Answer;
}

/** Reads JSON from a path of the API by hand. */
export async function read<Answer>(path: string, signal?: AbortSignal): Promise<Answer> {
  return (await (await send(new Request(new URL(path, location.origin), { signal }))).json()) as Answer;
}

/** Lets the browser save what a path answers (CSV, XLSX), under the name that the server gives. */
export async function download(path: string, name: string): Promise<void> {
  const answer = await send(new Request(new URL(path, location.origin)));
  const told = /filename="?([^";]+)"?/.exec(answer.headers.get("Content-Disposition") ?? "");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = told?.[1] ?? name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** What the generated client is told when it is made. */
export const createClientConfig: CreateClientConfig = (given) => ({
  ...given,
  baseUrl: "",
  throwOnError: true,
  fetch: (input: RequestInfo | URL, init?: RequestInit) => send(new Request(input, init)),
}) as ReturnType<CreateClientConfig>;

/** A header that makes a command wait for its outcome: `{ headers: WAIT }` answers 201 recorded or throws 409. */
export const WAIT = { Prefer: "wait=10" } as const;

export interface PageOf<Row> {
  items: Row[];
  meta: Record<string, unknown>;
  /** Where the following page is; null after the last. */
  next: string | null;
}

/** Reads one page of a list, with the way to the following one. */
export async function readPage<Row>(path: string, signal?: AbortSignal): Promise<PageOf<Row>> {
  const answer = await send(new Request(new URL(path, location.origin), { signal }));
  const body = (await answer.json()) as Omit<PageOf<Row>, "next">;
  return { ...body, next: /<([^>]+)>;\s*rel="?next"?/.exec(answer.headers.get("Link") ?? "")?.[1] ?? null };
}
