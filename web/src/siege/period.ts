/** Which business days are looked at, and with which are they compared? Days belong to the stores' own calendar, never to the browser's. */
import { shiftDay } from "@/app/format";

export const PRESETS = ["today", "yesterday", "week", "month", "custom"] as const;
export type Preset = (typeof PRESETS)[number];

export const COMPARISONS = ["previous", "week", "year", "none"] as const;
export type Comparison = (typeof COMPARISONS)[number];

/** Business days, both included. */
export interface Days {
  from: string;
  to: string;
}

export interface Clock {
  timeZone: string;
  /** When a business day ends on the next morning, "03:00"; "00:00" is midnight. */
  dayEnds: string;
}

const PARTS = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23" } as const;
const MINUTE_MS = 60_000;
const WEEK_DAYS = 7;
const MONTH_DAYS = 28;

/** What the clock on a shop's wall says: its date and its minute of the day. */
function wall(now: Date, timeZone: string): { at: number; hour: number } {
  const told = new Intl.DateTimeFormat("en-CA", { ...PARTS, timeZone }).formatToParts(now);
  const part = (type: Intl.DateTimeFormatPartTypes) => Number(told.find((each) => each.type === type)?.value);
  return { at: Date.UTC(part("year"), part("month") - 1, part("day"), part("hour"), part("minute")), hour: part("hour") };
}

/** Minutes after midnight at which a day ends. */
function endMinutes(dayEnds: string): number {
  const [hours = 0, minutes = 0] = dayEnds.split(":").map(Number);
  return hours * 60 + minutes;
}

/** The business day of a shop at an instant. */
export function businessDay(now: Date, clock: Clock): string {
  return new Date(wall(now, clock.timeZone).at - endMinutes(clock.dayEnds) * MINUTE_MS).toISOString().slice(0, 10);
}

/** The hour on the shop's wall, 0 to 23. */
export const hourAt = (now: Date, clock: Clock): number => wall(now, clock.timeZone).hour;

/** The hours of a business day in the order in which they come: after midnight they may still belong to the day before. */
export function hoursOfDay(dayEnds: string): number[] {
  const first = Math.floor(endMinutes(dayEnds) / 60);
  return Array.from({ length: 24 }, (_, place) => (first + place) % 24);
}

/** The days that a preset means. A custom period keeps its order, whichever end was typed first, and never leaves the calendar. */
export function daysOf(preset: Preset, today: string, custom: Days): Days {
  switch (preset) {
    case "today":
      return { from: today, to: today };
    case "yesterday":
      return { from: shiftDay(today, -1), to: shiftDay(today, -1) };
    case "week":
      return { from: shiftDay(today, 1 - WEEK_DAYS), to: today };
    case "month":
      return { from: shiftDay(today, 1 - MONTH_DAYS), to: today };
    case "custom":
      return custom.from <= custom.to ? custom : { from: custom.to, to: custom.from };
  }
}

/** How many days a period has. */
export const lengthOf = (days: Days): number => Math.round((Date.parse(days.to) - Date.parse(days.from)) / 86_400_000) + 1;

/** Each day of a period. */
export const eachDay = (days: Days): string[] => Array.from({ length: lengthOf(days) }, (_, place) => shiftDay(days.from, place));

/**
 * The days to compare with, as many: those just before; the same weekdays one or more weeks before; the same weekdays a year before
 * (364 days: a Saturday is compared with a Saturday).
 */
export function earlier(days: Days, comparison: Comparison): Days | null {
  const length = lengthOf(days);
  const moved = (by: number): Days => ({ from: shiftDay(days.from, -by), to: shiftDay(days.to, -by) });
  switch (comparison) {
    case "none":
      return null;
    case "previous":
      return moved(length);
    case "week":
      return moved(Math.ceil(length / WEEK_DAYS) * WEEK_DAYS);
    case "year":
      return moved(364);
  }
}

/** Whether the last day of the period is not over yet: then the same hours are compared, not a part of a day with a whole one. */
export const isRunning = (days: Days, today: string): boolean => days.from <= today && today <= days.to;

const DAY = /^\d{4}-\d{2}-\d{2}$/;

/** A day as it stands in an address, if it is one. */
export const dayIn = (text: unknown): string | null =>
  typeof text === "string" && DAY.test(text) && !Number.isNaN(Date.parse(text)) && shiftDay(text, 0) === text ? text : null;
