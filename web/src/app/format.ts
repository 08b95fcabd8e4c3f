/** Figures, money and instants as people of the chosen language write them. Everything reacts to a change of language. */
import { locale } from "./i18n";

const made = new Map<string, unknown>();

function kept<Made>(name: string, options: object, make: (locale: string) => Made): Made {
  const key = `${name} ${locale.value} ${JSON.stringify(options)}`;
  if (!made.has(key)) made.set(key, make(locale.value));
  return made.get(key) as Made;
}

const numbers = (options: Intl.NumberFormatOptions) => kept("n", options, (at) => new Intl.NumberFormat(at, options));
const dates = (options: Intl.DateTimeFormatOptions) => kept("d", options, (at) => new Intl.DateTimeFormat(at, options));

/** "12.50" or 12.5 as "12,50 $". Money travels as decimal strings; only here does it become a number, to be shown. */
export const money = (amount: string | number | null | undefined, currency = "CAD"): string =>
  amount == null ? "–" : numbers({ style: "currency", currency, currencyDisplay: "narrowSymbol" }).format(Number(amount));

/** Money without cents, for tiles and axes. */
export const roundMoney = (amount: string | number | null | undefined, currency = "CAD"): string =>
  amount == null ? "–" : numbers({ style: "currency", currency, currencyDisplay: "narrowSymbol", maximumFractionDigits: 0 }).format(Number(amount));

export const number = (value: string | number | null | undefined, digits = 0): string =>
  value == null ? "–" : numbers({ maximumFractionDigits: digits }).format(Number(value));

/** 12345 as "12 k". */
export const short = (value: number): string => numbers({ notation: "compact", maximumFractionDigits: 1 }).format(value);

/** A signed change in percent: 3.2 as "+3,2 %". */
export const change = (percent: string | number | null | undefined): string =>
  percent == null ? "–" : numbers({ style: "percent", signDisplay: "exceptZero", maximumFractionDigits: 1 }).format(Number(percent) / 100);

export const percent = (share: number, digits = 0): string => numbers({ style: "percent", maximumFractionDigits: digits }).format(share);

type Instant = string | number | Date;
export const time = (at: Instant, timeZone?: string): string => dates({ timeStyle: "short", timeZone }).format(new Date(at));
export const exactTime = (at: Instant, timeZone?: string): string => dates({ timeStyle: "medium", timeZone }).format(new Date(at));
export const dateTime = (at: Instant, timeZone?: string): string =>
  dates({ dateStyle: "medium", timeStyle: "short", timeZone }).format(new Date(at));
export const date = (at: Instant, timeZone?: string): string => dates({ dateStyle: "medium", timeZone }).format(new Date(at));

/** A business date, "2026-11-22", which belongs to no time zone. */
export const day = (at: string): string => dates({ dateStyle: "medium", timeZone: "UTC" }).format(new Date(`${at}T00:00:00Z`));

const STEPS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** "il y a 2 minutes"; give `now` from a ticking ref to keep it moving. */
export function ago(at: Instant, now: number = Date.now()): string {
  const seconds = (new Date(at).getTime() - now) / 1000;
  const [unit, size] = STEPS.find(([, each]) => Math.abs(seconds) >= each) ?? (["second", 1] as const);
  return kept("r", {}, (where) => new Intl.RelativeTimeFormat(where, { numeric: "auto", style: "short" })).format(Math.round(seconds / size), unit);
}

/** A length of time: 0.8 as "0,8 s", 75 as "1 min 15 s", 7300 as "2 h 1 min". */
export function duration(seconds: number | null | undefined): string {
  if (seconds == null) return "–";
  if (seconds < 60) return `${number(seconds, seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} j ${hours % 24} h`;
}

/** The present business date of a time zone, "2026-11-22". */
export const today = (timeZone = "America/Toronto", at: Date = new Date()): string =>
  new Intl.DateTimeFormat("en-CA", { timeZone, dateStyle: "short" }).format(at).slice(0, 10);

/** That date moved by days. */
export const shiftDay = (from: string, days: number): string =>
  new Date(Date.parse(`${from}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);
