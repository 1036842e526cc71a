import { parseJson } from '@pingtoken/shared/wire';
import type { MeteredRequest } from '../admit/admit.js';
import { CHAT_DIALECTS, faultOf } from '../dialects/chat/chat-dialects.js';
import type { ChatRequest } from '../dialects/chat/chat.js';
import { isObject, parseJsonExactly, stringifyExactly } from '../dialects/chat/json.js';
import { COUNT_DIALECTS, type CountDialect } from '../dialects/count-tokens.js';
import { isRefusal, refuse, sendJson, type Refusal } from '../http-error.js';
import type { CallLimits } from '../limits/call-limits.js';
import type { TokenEstimator } from '../meter/estimate/token-estimator.js';
import type { PlannedAttempt } from '../route/route.js';
import type { Outgoing, Prepared } from './prepared-call.js';

/**
 * A count of a prompt for a provider of another dialect. What the model could not be asked cannot be counted either: it is
 * refused as the call itself would be. A provider without a call for it is not called: see {@link countHere}.
 */
export function convertCount(request: MeteredRequest, attempt: PlannedAttempt): Outgoing | Refusal {
  const caller: CountDialect | undefined = COUNT_DIALECTS[request.dialect];
  if (caller === undefined) return refuse('unknown_path');
  const asked = readPrompt(request, caller);
  if (isRefusal(asked)) return asked;
  const { upstreamModel, provider, dropsUnsupported } = attempt;
  const target = CHAT_DIALECTS[provider.dialect];
  const { body, unsupported } = target.writeRequest(asked, upstreamModel);
  const [fault] = [...(asked.inexpressible ?? []), ...unsupported.map((each) => faultOf(each, request.dialect))];
  if (fault !== undefined && !dropsUnsupported) return refuse('unsupported_field', fault.field, fault.message);
  const prompt = isObject(body) ? body : {};
  const headers = { 'content-type': 'application/json', accept: 'application/json', ...target.requestHeaders };
  const writeCount = (tokens: number): string => JSON.stringify(caller.writeAnswer(tokens));
  const counting: CountDialect | undefined = COUNT_DIALECTS[provider.dialect];
  if (counting === undefined)
    return { client: 'undici', path: '', headers, body: toBytes(prompt), translation: undefined, writeCount };
  return {
    client: 'undici',
    path: counting.requestPath(upstreamModel),
    headers,
    body: toBytes(counting.writeRequest(prompt, upstreamModel)),
    translation: {
      convertAnswer: (answer) => {
        const tokens = counting.readAnswer(parse(answer));
        return tokens === undefined ? undefined : { json: writeCount(tokens), usage: {} };
      },
    },
  };
}

/** Who asks is no part of a prompt. */
function readPrompt({ dialect, bytes, model }: MeteredRequest, caller: CountDialect): ChatRequest | Refusal {
  const read = caller.readRequest(parseJsonExactly(bytes.toString()));
  const asked = 'whole' in read ? CHAT_DIALECTS[dialect].readRequest(read.whole, { model, streamed: false }) : read;
  if ('unreadable' in asked) return refuse('invalid_request', asked.unreadable.field, asked.unreadable.message);
  const { endUser, ...prompt } = asked;
  return endUser === undefined ? asked : prompt;
}

/**
 * Answers with our own count where the provider has none of its own. Nobody is called, so nothing is recorded, but it is a
 * request like any other; a header says what the number is worth.
 * @param estimator not the one that counts what is billed: who asks for many counts delays nothing but counts
 */
export async function countHere(
  prepared: Prepared,
  { body, writeCount }: Outgoing,
  { estimator, limits }: { readonly estimator: TokenEstimator; readonly limits: Pick<CallLimits, 'admit'> },
): Promise<Refusal | undefined> {
  const { dialect } = prepared.attempts[0].provider;
  const share = await limits.admit(prepared);
  if (share !== undefined && isRefusal(share)) return share;
  const prompt = await estimator.countPrompt({ dialect, requestBody: body }).finally(() => share?.settle({}));
  if (prompt === undefined || writeCount === undefined) {
    return refuse('rate_limited', null, 'Too many prompts are being counted at the moment.');
  }
  const tokens = (prompt.input ?? 0) + (prompt.audioInput ?? 0);
  sendJson(prepared, 200, writeCount(tokens), ['x-pingtoken-counted', 'estimated']);
  return undefined;
}

function toBytes(body: unknown): Buffer {
  return Buffer.from(stringifyExactly(body));
}

function parse(body: Buffer): unknown {
  try {
    return parseJson(body.toString());
  } catch {
    return undefined;
  }
}
