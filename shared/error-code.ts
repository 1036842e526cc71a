/**
 * Every refusal of both planes: code, HTTP status, whether the same request may succeed later unchanged, and a sentence for
 * the reader. Each plane maps a code to its caller's dialect in one place.
 */
interface ErrorKind {
  readonly status: number;
  readonly retryable: boolean;
  readonly message: string;
}

const TABLE = {
  malformed_json: { status: 400, retryable: false, message: 'The request body is not valid JSON.' },
  invalid_request: { status: 400, retryable: false, message: 'The request is not valid.' },
  unsupported_field: {
    status: 400,
    retryable: false,
    message: 'A field cannot be used with this model.',
  },
  duplicate_field: { status: 400, retryable: false, message: 'A field is given twice.' },
  guardrail_blocked: { status: 400, retryable: false, message: 'The request was blocked by a guardrail.' },
  consent_required: { status: 400, retryable: false, message: 'Consent to the current privacy policy is required.' },
  unauthenticated: { status: 401, retryable: false, message: 'Sign in first.' },
  invalid_api_key: { status: 401, retryable: false, message: 'Incorrect API key provided.' },
  invalid_credentials: { status: 401, retryable: false, message: 'The e-mail address or the password is wrong.' },
  insufficient_funds: {
    status: 402,
    retryable: false,
    message: 'The balance or the budget does not cover this.',
  },
  permission_denied: { status: 403, retryable: false, message: 'Your role does not permit this.' },
  tenant_suspended: { status: 403, retryable: false, message: 'This account is suspended.' },
  email_unverified: { status: 403, retryable: false, message: 'Verify your e-mail address first.' },
  registration_closed: { status: 403, retryable: false, message: 'Registration is not open.' },
  provider_not_granted: {
    status: 403,
    retryable: false,
    message: 'Your account has not granted the use of this provider.',
  },
  price_missing: { status: 403, retryable: false, message: 'The model has no price in force and is not sold.' },
  metered_path: { status: 403, retryable: false, message: 'This path is metered; call it at its own address.' },
  not_found: { status: 404, retryable: false, message: 'Not found.' },
  model_not_found: {
    status: 404,
    retryable: false,
    message: 'The model does not exist or you do not have access to it.',
  },
  unknown_path: { status: 404, retryable: false, message: 'Unknown request URL.' },
  method_not_allowed: { status: 405, retryable: false, message: 'The method is not allowed here.' },
  conflict: { status: 409, retryable: false, message: 'It exists already.' },
  idempotency_mismatch: { status: 409, retryable: false, message: 'The idempotency key was used for another request.' },
  idempotency_answer_too_long: {
    status: 409,
    retryable: false,
    message: 'The request was carried out; its answer is too long to be given again. Use another idempotency key.',
  },
  body_too_large: { status: 413, retryable: false, message: 'The request body is too large.' },
  unsupported_media_type: { status: 415, retryable: false, message: 'The content type is not supported.' },
  upgrade_required: { status: 426, retryable: false, message: 'This address is a WebSocket; connect to it as one.' },
  budget_reserved: {
    status: 429,
    retryable: true,
    message: 'What is left of the balance or the budget is reserved for calls under way.',
  },
  rate_limited: { status: 429, retryable: true, message: 'Too many requests.' },
  internal_error: { status: 500, retryable: true, message: 'The server had an error.' },
  upstream_failed: { status: 502, retryable: true, message: 'The provider could not be reached.' },
  budget_unavailable: {
    status: 503,
    retryable: true,
    message: 'Whether the balance covers this cannot be told at the moment.',
  },
  guardrail_unavailable: {
    status: 503,
    retryable: true,
    message: 'Whether the request may be made cannot be told at the moment.',
  },
  upstream_overloaded: { status: 503, retryable: true, message: 'The provider is overloaded.' },
  not_ready: { status: 503, retryable: true, message: 'The service is starting or stopping.' },
  spool_unavailable: { status: 503, retryable: true, message: 'Usage cannot be recorded at the moment.' },
  upstream_timeout: { status: 504, retryable: true, message: 'The provider did not answer in time.' },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof TABLE;
export const ERROR_CODES: Readonly<Record<ErrorCode, ErrorKind>> = TABLE;
