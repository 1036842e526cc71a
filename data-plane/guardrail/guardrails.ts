import type { Logger } from 'pino';
import { Agent, type Dispatcher } from 'undici';
import { ERROR_CODES } from '@pingtoken/shared/error-code';
import { guardrailAnswerSchema, type GuardrailAnswer } from '@pingtoken/shared/guardrail';
import { parseJson } from '@pingtoken/shared/wire';
import type { Admitted } from '../admit/admit.js';
import { failureReason } from '../forward/json-call.js';
import {
  createUpstreamAddresses,
  createUpstreamConnector,
  type UpstreamAddressOptions,
} from '../forward/upstream-address.js';
import { refuse, type Refusal } from '../http-error.js';
import type { Meter } from '../meter/meter.js';
import { guardedRoutes, type GuardedRoute } from './guarded-routes.js';
import { guardrailRequest } from './guardrail-request.js';

export interface GuardrailOptions extends UpstreamAddressOptions {
  readonly connectTimeoutMs: number;
  readonly meter: Pick<Meter, 'recordBlocked'>;
  readonly logger: Logger;
}

export interface Guardrails {
  /**
   * Asks the guardrails of all routes that the call may take, whichever it takes in the end. Once each: whoever does not
   * answer is not asked again.
   * @returns undefined where there is none, so that other calls wait for nothing; else why the call is refused, if it is
   */
  judge(admitted: Admitted): Promise<Refusal | undefined> | undefined;
  close(): Promise<void>;
}

export function createGuardrails({ connectTimeoutMs, meter, logger, ...addressOptions }: GuardrailOptions): Guardrails {
  const agent = new Agent({
    connect: createUpstreamConnector(createUpstreamAddresses(addressOptions), connectTimeoutMs),
    allowH2: false,
    pipelining: 1,
  });

  /** @returns why the call is refused; undefined where it may be made */
  async function askFor(route: GuardedRoute, admitted: Admitted): Promise<Refusal | undefined> {
    const { onFault } = route.guardrail;
    const answer = await ask(agent, route, admitted);
    if (typeof answer === 'string') {
      const { requestId } = admitted;
      logger.warn({ requestId, routeId: route.id, onFault, reason: answer }, 'guardrail-failed');
      return onFault === 'open' ? undefined : refuse('guardrail_unavailable');
    }
    if (answer.action === 'allow') return undefined;
    return refuse('guardrail_blocked', null, readableMessage(answer.message));
  }

  async function judge(routes: readonly GuardedRoute[], admitted: Admitted): Promise<Refusal | undefined> {
    admitted.timing.waitFor('guardrail');
    const refusals = await Promise.all(routes.map((route) => askFor(route, admitted)));
    admitted.timing.waitOver();
    const blocked = refusals.find((refusal) => refusal?.refused === 'guardrail_blocked');
    if (blocked === undefined) return refusals.find((refusal) => refusal !== undefined);
    return (await meter.recordBlocked(admitted, ERROR_CODES.guardrail_blocked.status)) ?? blocked;
  }

  return {
    judge: (admitted) => {
      const routes = guardedRoutes(admitted.candidates);
      return routes === undefined ? undefined : judge(routes, admitted);
    },
    close: () => agent.destroy(),
  };
}

const MAX_ANSWER_BYTES = 16 * 1024;

/** @returns a sentence for our log where the guardrail has not answered as it should */
async function ask(agent: Agent, route: GuardedRoute, admitted: Admitted): Promise<GuardrailAnswer | string> {
  const { url, timeoutMs, sends } = route.guardrail;
  const key = admitted.catalogue.guardrailKeyOf(route);
  if (key === undefined) return 'its secret cannot be opened';
  const { origin, pathname } = new URL(url);
  const request = guardrailRequest(admitted, { sends, key, nowMs: Date.now() });
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const response = await agent.request({ origin, path: pathname, method: 'POST', ...request, signal });
    return await readAnswer(response);
  } catch (error) {
    return signal.aborted ? `no answer within ${timeoutMs} ms` : failureReason(error as NodeJS.ErrnoException);
  }
}

async function readAnswer({ statusCode, body }: Dispatcher.ResponseData): Promise<GuardrailAnswer | string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length;
    // Leaving the loop ends the exchange.
    if (length > MAX_ANSWER_BYTES) return `its answer is longer than ${MAX_ANSWER_BYTES} bytes`;
    chunks.push(chunk);
  }
  // A redirect is not followed: it would lead what the caller says to another host.
  if (statusCode !== 200) return `it answered with status ${statusCode}`;
  const answer = guardrailAnswerSchema.safeParse(parseOrNothing(Buffer.concat(chunks).toString()));
  return answer.success ? answer.data : 'its answer is not the JSON that it should be';
}

function parseOrNothing(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}

const MAX_MESSAGE_LENGTH = 500;

/** What the guardrail says to the caller, as one line of text. */
function readableMessage(message: string | undefined): string | undefined {
  const line = message
    ?.replace(/[\s\p{Cc}\p{Cs}]+/gu, ' ')
    .trim()
    .slice(0, MAX_MESSAGE_LENGTH);
  return line === '' ? undefined : line;
}
