/** An answer that refuses: an HTTP status and OpenAI's error object. */
export interface Refusal {
  readonly status: number;
  readonly body: { readonly error: OpenAiError };
}

interface OpenAiError {
  readonly message: string;
  readonly type: string;
  readonly param: string | null;
  readonly code: string | null;
}

function refusal(status: number, type: string, code: string | null, message: string, param: string | null = null) {
  return { status, body: { error: { message, type, param, code } } } satisfies Refusal;
}

/** 400: the request is malformed; `param` names the faulty field where there is one. */
export function invalidRequest(message: string, param: string | null = null): Refusal {
  return refusal(400, 'invalid_request_error', null, message, param);
}

/** 400: a `[[sim …]]` directive is misspelt. Refused, because a fault that silently does nothing proves nothing. */
export function invalidDirective(problem: string): Refusal {
  return refusal(400, 'invalid_request_error', 'invalid_sim_directive', `Simulator directive: ${problem}`);
}

/** 401: there is no bearer. Any non-empty bearer is accepted. */
export function missingKey(): Refusal {
  const message = "You didn't provide an API key. Provide it in an Authorization header: Bearer YOUR_KEY.";
  return refusal(401, 'invalid_request_error', null, message);
}

/** 404: no such model for this endpoint. */
export function modelNotFound(model: string): Refusal {
  const message = `The model \`${model.slice(0, 200)}\` does not exist or you do not have access to it.`;
  return refusal(404, 'invalid_request_error', 'model_not_found', message, 'model');
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
