export interface Fault {
  pointer: string;
  code: string;
  detail: string;
}

/** Why a request failed: the server's own words (RFC 9457), or that it could not be reached (`status` 0, code `offline`). */
export class Problem extends Error {
  override readonly name = "Problem";

  constructor(
    readonly status: number,
    readonly code: string,
    readonly title: string,
    readonly detail = "",
    readonly errors: readonly Fault[] = [],
    readonly traceId = "",
    readonly retryAfterSeconds: number | null = null,
    readonly members: Readonly<Record<string, unknown>> = {},
  ) {
    super(detail || title || code);
  }

  /** Whether the same request may well succeed a little later. */
  get passing(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }

  get offline(): boolean {
    return this.status === 0;
  }
}

/** The problem that an answer carries; one that is no problem document keeps its status. */
export async function problemOf(answer: Response): Promise<Problem> {
  const body = (await answer.json().catch(() => ({}))) as Record<string, unknown>;
  const text = (name: string) => (typeof body[name] === "string" ? (body[name] as string) : "");
  const wait = Number(answer.headers.get("Retry-After"));
  return new Problem(
    answer.status,
    text("code") || `http_${answer.status}`,
    text("title") || answer.statusText || `HTTP ${answer.status}`,
    text("detail"),
    Array.isArray(body["errors"]) ? (body["errors"] as Fault[]) : [],
    text("trace_id") || (answer.headers.get("X-Request-ID") ?? ""),
    answer.headers.has("Retry-After") && Number.isFinite(wait) ? wait : null,
    body,
  );
}

/** The same for anything that was thrown. A cancelled request stays what it is. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem(0, "offline", "", error instanceof Error ? error.message : String(error));
}
