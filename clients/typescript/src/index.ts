/** Ask a Quartet inference service: every route and form of its OpenAPI document, typed. */

import createFetchClient, { type Client } from "openapi-fetch";

import type { components, paths } from "./schema.js";

export type { components, paths };
export type Problem = components["schemas"]["Problem"];

export interface Options {
  apiKey?: string;
  /** Milliseconds for a whole call, retries included; the service is told. */
  timeout?: number;
  /** How often a call is sent again that was refused for lack of room, or cut off. */
  retries?: number;
  fetch?: typeof globalThis.fetch;
}

/** What the service refused. Decide by `code`, which never changes; `field` is the path of what is wrong. */
export class QuartetError extends Error {
  readonly status: number;
  readonly code: string;
  readonly field?: string;
  readonly requestId?: string;

  constructor(response: Response, problem: Partial<Problem>) {
    const where = problem.field ? `${problem.field}: ` : "";
    super(`${response.status} ${problem.code ?? ""}: ${where}${problem.detail ?? response.statusText}`);
    this.name = "QuartetError";
    this.status = response.status;
    this.code = problem.code ?? "";
    this.field = problem.field;
    this.requestId = problem.request_id ?? response.headers.get("x-request-id") ?? undefined;
  }
}

const OVERLOADED = new Set([429, 503]);
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 5000;

/** A client for the service at `baseUrl`, which may have a path. `client.POST("/v1/...")` is typed by the route. */
export function createClient(baseUrl = "http://127.0.0.1:3000", options: Options = {}): Client<paths> {
  const headers: Record<string, string> = options.apiKey ? { authorization: `Bearer ${options.apiKey}` } : {};
  return createFetchClient<paths>({ baseUrl, headers, fetch: (request) => send(request, options) });
}

/** The JSON of an answer: without the bytes that some routes give where `accept` asks for them. */
export type Json<T> = [Exclude<T, string>] extends [never] ? T : Exclude<T, string>;

/** The answer of a call; throws QuartetError where the service refused. */
export async function answer<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<Json<T>> {
  const { data, error, response } = await call;
  if (!response.ok) {
    throw new QuartetError(response, typeof error === "object" && error !== null ? error : {});
  }
  return data as Json<T>;
}

/** A body of raw bytes, for pictures, DICOM and .npy: spread it into the options of a call. */
export function raw(body: Uint8Array | Blob, contentType: string) {
  return { body: body as never, bodySerializer: () => body as BodyInit, headers: { "content-type": contentType } };
}

async function send(request: Request, options: Options): Promise<Response> {
  const { timeout = 30_000, retries = 3, fetch = globalThis.fetch } = options;
  const deadline = Date.now() + timeout;
  for (let made = 0; ; made++) {
    const left = Math.max(1, Math.floor(deadline - Date.now()));
    const attempt = new Request(request.clone(), { signal: AbortSignal.any([request.signal, AbortSignal.timeout(left)]) });
    attempt.headers.set("x-timeout-ms", String(left));
    let response: Response | undefined;
    try {
      response = await fetch(attempt);
      if (!OVERLOADED.has(response.status)) return response;
    } catch (error) {
      if (request.signal.aborted || made >= retries || Date.now() >= deadline) throw error;
    }
    const grown = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** made) * (0.5 + Math.random() / 2);
    const pause = Math.max(grown, 1000 * Number(response?.headers.get("retry-after") ?? 0));
    if (response && (made >= retries || Date.now() + pause >= deadline)) return response;
    await new Promise((resume) => setTimeout(resume, pause));
  }
}
