/** A clock with its seconds, in as little room as it takes: 14:32:05. */
export const clock = (at: string | number, timeZone: string): string =>
  new Intl.DateTimeFormat("en-CA", { timeZone, hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }).format(new Date(at));
