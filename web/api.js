// The way to the API: tokens that renew themselves, reads that cost nothing while nothing changed, and the stream of what changes.
const REFRESH = "magasin.refresh";
const kept = new Map(); // url and language → {etag, body}
let access = null, renewing = null, language = "fr";

export class Refused extends Error {
  constructor(status, problem) {
    super([problem.title, problem.detail].filter((each, n, all) => each && all.indexOf(each) === n).join(". "));
    this.status = status;
  }
}
export const speak = (code) => { language = code; };
export const remembered = () => sessionStorage.getItem(REFRESH) !== null;

async function ask(path, options = {}) {
  const headers = { "Accept-Language": language, ...(access && { Authorization: `Bearer ${access.access_token}` }), ...options.headers };
  const answer = await fetch(`/api/v2${path}`, { ...options, headers });
  if (!answer.ok && answer.status !== 304) throw new Refused(answer.status, await answer.json().catch(() => ({ title: answer.statusText })));
  return answer;
}

async function taken(answer) {
  access = await answer.json();
  sessionStorage.setItem(REFRESH, access.refresh_token);
  return access;
}
export const signIn = async (form) => taken(await ask("/auth/token", { method: "POST", body: new URLSearchParams(form) }));
export function forget() {
  access = null;
  kept.clear();
  sessionStorage.removeItem(REFRESH);
}
export async function signOut() {
  const body = JSON.stringify({ refresh_token: sessionStorage.getItem(REFRESH) });
  await ask("/auth/logout", { method: "POST", body, headers: { "Content-Type": "application/json" } }).catch(() => {});
  forget();
}
// A refresh token is good for one use, so requests that find the access token spent share one renewal.
export function renew() {
  renewing ??= (async () => {
    const body = JSON.stringify({ refresh_token: sessionStorage.getItem(REFRESH) });
    return taken(await ask("/auth/refresh", { method: "POST", body, headers: { "Content-Type": "application/json" } }));
  })().finally(() => { renewing = null; });
  return renewing;
}
async function call(path, options) {
  try {
    return await ask(path, options);
  } catch (problem) {
    if (problem.status !== 401) throw problem;
    await renew();
    return ask(path, options);
  }
}

export async function read(path) {
  const key = `${language} ${path}`, before = kept.get(key);
  const answer = await call(path, { headers: before && { "If-None-Match": before.etag } });
  if (answer.status === 304) return before.body;
  const body = await answer.json();
  kept.set(key, { etag: answer.headers.get("ETag"), body });
  return body;
}
export async function post(path, content) {
  const headers = { "Content-Type": "application/json", Prefer: "wait=10" };
  return (await call(path, { method: "POST", body: JSON.stringify(content), headers })).json();
}

// Server-Sent Events by fetch, since EventSource can't send a token. Ends when `signal` does; `state(false)` while not connected.
export async function follow(heard, state, signal) {
  let last = null;
  while (!signal.aborted) {
    try {
      const answer = await call("/live", { headers: last && { "Last-Event-ID": last }, signal });
      state(true);
      let rest = "";
      for await (const text of lines(answer.body)) {
        const blocks = (rest + text).split("\n\n");
        rest = blocks.pop();
        for (const block of blocks) {
          const fields = Object.fromEntries(block.split("\n").filter((line) => /^\w/.test(line)).map((line) => line.split(/: ?(.*)/s, 2)));
          last = fields.id ?? last;
          if (fields.event) heard(fields.event, JSON.parse(fields.data));
        }
      }
    } catch (problem) {
      if (signal.aborted) return;
      if (problem.status === 401) throw problem;
    }
    state(false);
    await new Promise((wake) => setTimeout(wake, 1000));
  }
}
async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}
