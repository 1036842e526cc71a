/** Whose way of speaking an endpoint has. */
export type DialectName = 'openai' | 'anthropic' | 'gemini';

/** An answer that refuses: an HTTP status, and what there is to say. `type` and `code` are in OpenAI's words. */
export interface Refusal {
  readonly status: number;
  readonly type: string;
  readonly code: string | null;
  readonly message: string;
  readonly param: string | null;
}

function refusal(status: number, type: string, code: string | null, message: string, param: string | null = null) {
  return { status, type, code, message, param } satisfies Refusal;
}

/** 400: the request is malformed; `param` names the faulty field where there is one. */
export function invalidRequest(message: string, param: string | null = null): Refusal {
  return refusal(400, 'invalid_request_error', null, message, param);
}

/** 400: a `[[sim …]]` directive is misspelt. Refused, because a fault that silently does nothing proves nothing. */
export function invalidDirective(problem: string): Refusal {
  return refusal(400, 'invalid_request_error', 'invalid_sim_directive', `Simulator directive: ${problem}`);
}

/** No credential was sent; any that is not empty is accepted. 401, but 403 in Gemini's dialect. */
export function missingKey(dialect: DialectName): Refusal {
  switch (dialect) {
    case 'openai': {
      const message = "You didn't provide an API key. Provide it in an Authorization header: Bearer YOUR_KEY.";
      return refusal(401, 'invalid_request_error', null, message);
    }
    case 'anthropic':
      return refusal(401, 'authentication_error', null, 'x-api-key header is required');
    case 'gemini': {
      const message =
        "Method doesn't allow unregistered callers. Please use API Key or other form of API consumer identity.";
      return refusal(403, 'permission_denied', null, message);
    }
  }
}

/** 404: no such model for this endpoint. */
export function modelNotFound(model: string): Refusal {
  const message = `The model \`${model.slice(0, 200)}\` does not exist or you do not have access to it.`;
  return refusal(404, 'invalid_request_error', 'model_not_found', message, 'model');
}

/** 404: nothing is kept under that id. `what` names its kind: `File`. */
export function notFound(what: string, id: string): Refusal {
  return refusal(404, 'invalid_request_error', null, `${what} with id '${id.slice(0, 200)}' not found.`, 'id');
}

/** 404: no such path, or not with this method. */
export function unknownUrl(method: string, path: string): Refusal {
  return refusal(404, 'invalid_request_error', 'unknown_url', `Invalid URL (${method} ${path.slice(0, 200)})`);
}

/** 413: the body is longer than `maximumBytes`. */
export function bodyTooLarge(maximumBytes: number): Refusal {
  return refusal(413, 'invalid_request_error', null, `The request body is larger than ${maximumBytes} bytes.`);
}

/** The error that the `status` fault stands for, shaped as OpenAI shapes it for that status. */
export function simulatedError(status: number): Refusal {
  const message = `Simulated provider error ${status}.`;
  switch (status) {
    case 401:
      return refusal(status, 'invalid_request_error', 'invalid_api_key', message);
    case 402:
      return refusal(status, 'insufficient_quota', 'insufficient_quota', message);
    case 403:
      return refusal(status, 'invalid_request_error', 'unsupported_country_region_territory', message);
    case 429:
      return refusal(status, 'requests', 'rate_limit_exceeded', message);
    default:
      return refusal(status, status >= 500 ? 'server_error' : 'invalid_request_error', null, message);
  }
}

/** The body of an error, as each vendor documents it. */
export function errorBody(dialect: DialectName, { status, type, code, message, param }: Refusal): object {
  switch (dialect) {
    case 'openai':
      return { error: { message, type, param, code } };
    case 'anthropic':
      return { type: 'error', error: { type: anthropicType(status), message }, request_id: 'req_sim' };
    case 'gemini':
      return { error: { code: status, message, status: geminiStatus(status) } };
  }
}

/** https://docs.anthropic.com/en/api/errors */
const ANTHROPIC_TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  504: 'timeout_error',
  529: 'overloaded_error',
};

function anthropicType(status: number): string {
  return ANTHROPIC_TYPES[status] ?? (status >= 500 ? 'api_error' : 'invalid_request_error');
}

/** https://ai.google.dev/gemini-api/docs/troubleshooting and google.rpc.Code */
const GEMINI_STATUSES: Readonly<Record<number, string>> = {
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  409: 'ABORTED',
  429: 'RESOURCE_EXHAUSTED',
  499: 'CANCELLED',
  501: 'UNIMPLEMENTED',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
};

function geminiStatus(status: number): string {
  return GEMINI_STATUSES[status] ?? (status >= 500 ? 'INTERNAL' : 'INVALID_ARGUMENT');
}

/** What each dialect sends where it breaks off inside a stream that it had answered with 200. */
export function streamFailure(dialect: DialectName): { readonly event?: string; readonly json: string } {
  const message = 'Simulated error inside the stream.';
  switch (dialect) {
    case 'openai':
      return { json: JSON.stringify({ error: { message, type: 'server_error', param: null, code: null } }) };
    case 'anthropic':
      return { event: 'error', json: JSON.stringify({ type: 'error', error: { type: 'overloaded_error', message } }) };
    case 'gemini':
      return { json: JSON.stringify({ error: { code: 503, message, status: 'UNAVAILABLE' } }) };
  }
}
