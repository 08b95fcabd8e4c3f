/** What does an answer say about a command: has it arrived, was it refused, or does nobody know yet? */

import type { Problem } from "./commands";

export type Verdict =
  | { readonly kind: "accepted" | "recorded" }
  | { readonly kind: "refused"; readonly problem: Problem }
  /** `offline`: no answer came. `signin`: the session has ended. `busy`: the system says that it can't now. */
  | { readonly kind: "unknown"; readonly why: "offline" | "signin" | "busy"; readonly problem?: Problem; readonly retrySeconds?: number };

export interface Answer {
  readonly status: number;
  /** The parsed JSON, or null for anything else. */
  readonly body: unknown;
  readonly retryAfter: string | null;
}

/** Says nothing about the command itself: the session, a proxy, the moment. */
const PASSING = new Set([401, 407, 408, 409, 425, 429]);
const LONGEST_SECONDS = 300;

/**
 * A 2xx counts only when it names this very command: the sign-in page of a hotel's network answers 200 to everything. A 409 is final when the
 * rule's decision stands in the log (it has a `seq`), since asking again would be answered the same for ever.
 */
export function verdictOf(id: string, answer: Answer): Verdict {
  const said = isObject(answer.body) ? answer.body : {};
  if (answer.status >= 200 && answer.status < 300 && said["event_id"] === id) return { kind: said["status"] === "recorded" ? "recorded" : "accepted" };
  const decided = answer.status === 409 && typeof said["seq"] === "number";
  if (decided || (answer.status >= 400 && answer.status < 500 && !PASSING.has(answer.status))) return { kind: "refused", problem: problemOf(answer, said) };
  const why = answer.status === 401 ? "signin" : answer.status >= 400 ? "busy" : "offline";
  const seconds = Number(answer.retryAfter ?? Number.NaN);
  return {
    kind: "unknown",
    why,
    ...(answer.status >= 400 ? { problem: problemOf(answer, said) } : {}),
    ...(seconds > 0 ? { retrySeconds: Math.min(seconds, LONGEST_SECONDS) } : {}),
  };
}

function problemOf(answer: Answer, said: Record<string, unknown>): Problem {
  const { code, title, detail, errors, available } = said;
  return {
    status: answer.status,
    code: typeof code === "string" ? code : `http_${answer.status}`,
    title: typeof title === "string" ? title : `HTTP ${answer.status}`,
    ...(typeof detail === "string" ? { detail } : {}),
    ...(Array.isArray(errors) && errors.length > 0 ? { errors: errors as NonNullable<Problem["errors"]> } : {}),
    ...(isObject(available) ? { available: available as NonNullable<Problem["available"]> } : {}),
  };
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
