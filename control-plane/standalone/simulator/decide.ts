import type { z } from 'zod';
import type { Decision } from './decision.js';
import { parseDirectives, type Faults } from './directives.js';
import { errorBody, invalidDirective, invalidRequest, simulatedError, type Refusal } from './errors.js';
import type { Model } from './models.js';
import { jsonPayload, type Payload } from './payload.js';
import type { ProviderCall } from './provider-call.js';
import { NO_TOKENS, NO_UNITS, type TokenCount, type UnitCount } from './tokens.js';

/** The decision to refuse. Refusals use up no global fault. */
export function refuse({ dialect }: Pick<ProviderCall, 'dialect'>, refusal: Refusal): Decision {
  const payload = jsonPayload(errorBody(dialect, refusal));
  return { model: null, faults: {}, status: refusal.status, tokens: NO_TOKENS, units: NO_UNITS, payload };
}

interface Content {
  readonly model?: Model | null;
  readonly faults: Faults;
  readonly tokens?: TokenCount;
  readonly units?: UnitCount;
  /** Called only where the faults let it be answered. */
  readonly answer: () => Payload;
}

/** The decision to answer, unless a fault demands an error. */
export function decide(call: Pick<ProviderCall, 'dialect'>, content: Content): Decision {
  const { faults, tokens = NO_TOKENS, units = NO_UNITS, answer } = content;
  const model = content.model?.id ?? null;
  if (faults.status !== undefined) return { ...refuse(call, simulatedError(faults.status)), model, faults };
  return { model, faults, status: 200, tokens, units, payload: answer() };
}

/** Decides a call that has a plain JSON answer and costs no tokens. `text` may hold directives. */
export function decidePlain(call: ProviderCall, value: object, text = ''): Decision {
  const faults = gatherFaults(call, text, null);
  if ('status' in faults) return refuse(call, faults);
  return decide(call, { faults: faults.value, answer: () => jsonPayload(value) });
}

/** The call's own directives over the global faults. */
export function gatherFaults(
  { takeFaults }: Pick<ProviderCall, 'takeFaults'>,
  text: string,
  model: Model | null,
): { value: Faults } | Refusal {
  const own = parseDirectives(text);
  if ('problem' in own) return invalidDirective(own.problem);
  return { value: { ...takeFaults(model?.id ?? null), ...own.value } };
}

/** Reads a JSON body. */
export function parseRequest<T>({ body }: Pick<ProviderCall, 'body'>, schema: z.ZodType<T>): { value: T } | Refusal {
  let json: unknown;
  try {
    json = JSON.parse(body.bytes.toString('utf8'));
  } catch {
    return invalidRequest('We could not parse the JSON body of your request.');
  }
  return checkRequest(json, schema);
}

/** Checks what was read from a body of any kind; the first fault is named. */
export function checkRequest<T>(value: unknown, schema: z.ZodType<T>): { value: T } | Refusal {
  const parsed = schema.safeParse(value);
  if (parsed.success) return { value: parsed.data };
  const issue = parsed.error.issues[0];
  const param = issue?.path.join('.') ?? '';
  return invalidRequest(`Invalid value for '${param || 'body'}': ${issue?.message ?? 'malformed'}`, param || null);
}
