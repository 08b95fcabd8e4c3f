// One page: figures that keep themselves up to date, and one sale whose way to this very page is timed.
import { follow, forget, post, read, remembered, renew, signIn, signOut, speak } from "./api.js";
import { EN, MADE } from "./texts.js";

const $ = (id) => document.getElementById(id);
const FRENCH = Object.fromEntries([...document.querySelectorAll("[data-t]")].map((each) => [each.dataset.t, each.textContent]));
const FED = 12, CALM_MS = 250, PATIENCE_MS = 10_000, LATE_SECONDS = 10;
const MEASURES = ["revenue", "sales", "average_basket", "units", "returned_units", "voids"];
let language = localStorage.getItem("magasin.language") ?? (navigator.language.startsWith("en") ? "en" : "fr");
let who = null, shops = [], product = null, leaving = null, arrivals = new Set(), connected = false, meta = null, fed = [];
const reached = new Map(); // store → the last sequence number that was announced as projected

// Words and figures
const locale = () => `${language}-CA`;
const made = (name) => MADE[language][name] ?? name;
const number = (value) => new Intl.NumberFormat(locale()).format(value);
const money = (value) => new Intl.NumberFormat(locale(), { style: "currency", currency: shops[0]?.currency ?? "CAD" }).format(value ?? 0);
const shown = (name, value) => (["revenue", "average_basket"].includes(name) ? money(value) : number(value ?? 0));
const clock = (at) => new Intl.DateTimeFormat("fr", { timeStyle: "medium", timeZone: zone() }).format(new Date(at)); // 14:32:05 in both
const zone = () => shops[0]?.timezone ?? "UTC";
const shopName = (id) => shops.find((each) => each.store_id === id)?.name.replace(/^Magasin /, "") ?? made(id);
const sells = () => ["caissier", "gestionnaire", "admin"].includes(who.role);
const reports = () => who.role !== "caissier";

function element(tag, content = [], properties = {}) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...[content].flat());
  return made;
}
function translate() {
  document.documentElement.lang = language;
  speak(language);
  for (const each of document.querySelectorAll("[data-t]")) each.textContent = (language === "fr" ? FRENCH : EN)[each.dataset.t];
  Object.assign($("language"), { textContent: language === "fr" ? "English" : "Français", lang: language === "fr" ? "en" : "fr" });
}
function complain(problem) {
  $("alert").hidden = !problem;
  $("alert").textContent = problem ? (problem.status ? problem.message : made("noAnswer")) : "";
}
const guarded = (work) => async (...given) => {
  try {
    await work(...given);
  } catch (problem) {
    if (problem.status === 401) leave();
    complain(problem);
  }
};

// Figures
function business(daysAgo) {
  const today = new Intl.DateTimeFormat("en-CA", { timeZone: zone() }).format(new Date());
  return new Date(Date.parse(today) - daysAgo * 86_400_000).toISOString().slice(0, 10);
}
async function figures() {
  const days = Number($("period").value), asked = (from, to) => `from=${business(from)}&to=${business(to)}`;
  const [stores, daily, before] = await Promise.all([
    read(`/reports/store-performance?${asked(days - 1, 0)}`),
    read(`/reports/daily-sales?${asked(days - 1, 0)}&group_by=business_date`),
    read(`/reports/store-performance?${asked(2 * days - 1, days)}`),
  ]);
  tiles(total(stores.items), total(before.items));
  chart(days, new Map(daily.items.map((row) => [row.business_date, row])));
  table(stores.items);
  fresh(stores.meta);
}
function total(rows) {
  const sum = Object.fromEntries(["revenue", "sales", "units", "returned_units", "voids", "refunded"].map((name) =>
    [name, rows.reduce((so_far, row) => so_far + Math.round(Number(row[name]) * 100), 0) / 100]));
  return { ...sum, average_basket: sum.sales ? (sum.revenue + sum.refunded) / sum.sales : 0 };
}
function tiles(now, before) {
  const change = (name) => now[name] / before[name] - 1; // more than tenfold compares with next to nothing
  const percent = new Intl.NumberFormat(locale(), { style: "percent", signDisplay: "exceptZero" });
  $("tiles").replaceChildren(...MEASURES.slice(0, 5).map((name) => element("div", [element("dt", made(name)), element("dd", [
    shown(name, now[name]), ...(change(name) < 9 ? [element("small", `${percent.format(change(name))} ${made("before")}`)] : [])])])));
}
function chart(days, rows) {
  const most = Math.max(1, ...[...rows.values()].map((row) => Number(row.revenue)));
  const short = new Intl.NumberFormat(locale(), { maximumFractionDigits: 0 });
  $("days").classList.toggle("many", days > 10);
  $("days").replaceChildren(...Array.from({ length: days }, (_, n) => {
    const date = business(days - 1 - n), revenue = Number(rows.get(date)?.revenue ?? 0), bar = element("i");
    bar.style.height = `${(104 * Math.max(0, revenue)) / most}px`;
    const label = new Intl.DateTimeFormat(locale(), { weekday: days > 10 ? undefined : "short", day: "numeric", timeZone: "UTC" }).format(Date.parse(date));
    return element("li", [element("b", short.format(revenue)), bar, element("span", label)], { title: `${date}: ${money(revenue)}` });
  }));
}
function table(rows) {
  const cells = (row) => MEASURES.map((name) => element("td", shown(name, row[name])));
  const line = (row, name, tag = "td") => element("tr", [element("th", name, { scope: "row" }), ...cells(row)], { className: tag });
  const best = [...rows].sort((one, other) => other.revenue - one.revenue);
  $("empty").hidden = rows.length > 0;
  $("stores").replaceChildren(
    element("thead", element("tr", [made("store"), ...MEASURES.map(made)].map((name) => element("th", name, { scope: "col" })))),
    element("tbody", best.map((row) => line(row, shopName(row.store_id), arrivals.has(row.store_id) ? "fresh" : ""))),
    element("tfoot", rows.length > 1 ? line(total(rows), made("all"), "") : []));
  arrivals = new Set();
}
function fresh(found = meta) {
  meta = found;
  const lag = meta?.lag_seconds ?? 0;
  $("freshness").hidden = !who;
  $("dot").className = `dot ${connected ? (lag > LATE_SECONDS ? "late" : "") : "off"}`;
  $("as-of").textContent = connected ? (meta?.as_of ? made("upToDate")(clock(meta.as_of), number(lag)) : "") : made("offline");
}

// What changes: one refresh at a time, and at most four a second however many sales arrive; while a sale of our own is timed none waits.
let refreshing = null, again = false, last = 0, timed = null;
function refresh() {
  again = refreshing !== null;
  refreshing ??= (async () => {
    do {
      const rest = timed ? 0 : CALM_MS - (performance.now() - last);
      if (rest > 0) await new Promise((wake) => setTimeout(wake, rest));
      again = false;
      last = performance.now();
      await Promise.all([reports() && figures(), sells() && level()]);
    } while (again);
  })().finally(() => { refreshing = null; });
  return refreshing;
}
const changed = guarded(refresh);
function heard(kind, content) {
  for (const { store_id, seq, types } of content.stores ?? []) {
    reached.set(store_id, Math.max(seq, reached.get(store_id) ?? 0));
    arrivals.add(store_id);
    fed = [{ at: content.at, store_id, seq, types }, ...fed].slice(0, FED);
  }
  feed();
  changed();
  timed?.();
}
function feed() {
  $("quiet").hidden = fed.length > 0;
  $("feed").replaceChildren(...fed.map(({ at, store_id, seq, types }) => element("li", [
    element("time", clock(at), { dateTime: at }), element("span", `${shopName(store_id)} : ${types.map(made).join(", ")}`), element("small", seq)])));
}

// A sale
let onHand = new Map(), unsure = null;
const wanted = () => `search=${encodeURIComponent($("search").value || $("search").placeholder)}`;
async function search() {
  const [found] = await Promise.all([read(`/products?limit=20&${wanted()}`), level()]);
  const here = (each) => onHand.get(each.sku) ?? 0;
  const items = [...found.items].sort((one, other) => here(other) - here(one));
  product = items.find((each) => each.sku === product?.sku) ?? items[0] ?? null;
  $("found").replaceChildren(...(items.length ? items.map(choice) : [element("p", made("none"), { className: "muted" })]));
  $("sell").disabled = product === null;
  await level();
}
function choice(each) {
  const onchange = guarded(() => { product = each; return level(); });
  const radio = element("input", [], { type: "radio", name: "sku", checked: each.sku === product.sku, onchange });
  return element("label", [radio, element("span", each.name[language]), element("b", money(each.price))]);
}
async function level() {
  const found = await read(`/stock?store=${$("store").value}&limit=500&${wanted()}`);
  onHand = new Map(found.items.map((each) => [each.sku, each.on_hand]));
  $("on-hand").textContent = product ? number(onHand.get(product.sku) ?? 0) : "–";
  if (!reports()) fresh(found.meta);
}
function uuid7() { // crypto.randomUUID is only there under https
  const bytes = crypto.getRandomValues(new Uint8Array(16)), now = Date.now();
  for (let n = 0; n < 6; n += 1) bytes[n] = Math.floor(now / 256 ** (5 - n)) % 256;
  bytes[6] = (bytes[6] & 15) | 112;
  bytes[8] = (bytes[8] & 63) | 128;
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
async function sell() {
  const store = $("store").value, clicked = performance.now(), since = () => Math.round(performance.now() - clicked);
  $("sell").disabled = true;
  timed = () => {};
  // Without a sure answer the next click sends the same sale again, under the same id: it counts once.
  if (unsure?.store !== store || unsure.sku !== product.sku) unsure = { store, sku: product.sku, sale_id: uuid7() };
  try {
    const lines = [{ sku: product.sku, quantity: 1, unit_price: product.price }];
    const { seq } = await post(`/stores/${store}/sales`, { sale_id: unsure.sale_id, till_id: "web", lines, payment: { method: "card" } });
    unsure = null;
    const recorded = since();
    const announced = await new Promise((told) => {
      timed = () => { if (reached.get(store) >= seq) told(since()); };
      timed();
      setTimeout(() => told(null), PATIENCE_MS);
    });
    await (refreshing ?? (announced ? null : refresh()));
    $("result").replaceChildren(...(announced === null ? [made("late")] : [
      element("strong", `${number(since())} ms`), made("arrived"), element("p", made("steps")(recorded, announced), { className: "muted" })]));
    complain(null);
  } catch (problem) {
    if (problem.status < 500) unsure = null;
    throw problem;
  } finally {
    timed = null;
    $("sell").disabled = false;
  }
}

// Coming and going
async function enter(account) {
  who = account;
  shops = (await read("/stores?limit=500")).items;
  const own = shops.filter((each) => each.kind === "store");
  $("store").replaceChildren(...own.map((each) => element("option", shopName(each.store_id), { value: each.store_id })));
  $("sign-in").hidden = true;
  for (const id of ["dashboard", "sign-out"]) $(id).hidden = false;
  $("figures").hidden = !reports();
  $("till").hidden = !sells();
  $("dashboard").classList.toggle("alone", !reports());
  complain(null);
  $("main").focus();
  if (sells()) await search();
  leaving = new AbortController();
  guarded(follow)(heard, (open) => { connected = open; fresh(); if (open) changed(); }, leaving.signal);
}
function leave() {
  leaving?.abort();
  forget();
  [who, meta, fed] = [null, null, []];
  for (const id of ["dashboard", "sign-out", "freshness"]) $(id).hidden = true;
  $("result").replaceChildren();
  $("sign-in").hidden = false;
  $("sign-in").elements.username.focus();
}

$("sign-in").addEventListener("submit", guarded(async (event) => {
  event.preventDefault();
  await enter(await signIn(new FormData($("sign-in"))));
  $("sign-in").reset();
}));
$("sign-out").addEventListener("click", guarded(async () => { await signOut(); leave(); }));
$("language").addEventListener("click", guarded(async () => {
  language = language === "fr" ? "en" : "fr";
  localStorage.setItem("magasin.language", language);
  translate();
  if (!who) return;
  feed();
  await Promise.all([refresh(), sells() && search()]);
}));
$("period").addEventListener("change", changed);
$("store").addEventListener("change", guarded(level));
$("sell").addEventListener("click", guarded(sell));
let typing = 0;
$("search").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(guarded(search), 150); });

translate();
if (remembered()) guarded(async () => enter(await renew()))();
else leave();
