import type { z } from 'zod';
import { answerChat, type TokenCount } from './answer.js';
import type { Body } from './body.js';
import { chatRequestSchema, lastUserText, messageTexts } from './chat-request.js';
import { completionChunks, completionObject, usageObject, type Chunk } from './chat-wire.js';
import { parseDirectives, type Faults } from './directives.js';
import { embeddingInputs, embeddingsObject, embeddingsRequestSchema, embeddingTokens } from './embeddings.js';
import { invalidDirective, invalidRequest, modelNotFound, simulatedError, type Refusal } from './errors.js';
import { findModel, type Model, type ModelId } from './models.js';

/** How one call will be answered. Nothing of it has been sent. */
export interface Decision {
  readonly model: ModelId | null;
  readonly faults: Faults;
  readonly status: number;
  /** What the whole answer costs; zeros for an error. */
  readonly tokens: TokenCount;
  /** Either a JSON text, or the events of a stream, built as they are sent. */
  readonly payload: { readonly json: string; readonly tellsUsage: boolean } | { readonly events: Iterable<Chunk> };
}

/** What a decision needs from outside: the number of the call, the clock in ms, and the global faults. */
export interface DecisionContext {
  readonly callNumber: number;
  readonly nowMs: number;
  readonly takeFaults: (model: string | null) => Faults;
}

const NO_TOKENS: TokenCount = { prompt: 0, completion: 0, cached: 0, reasoning: 0 };

/** The decision to refuse. Refusals use up no global fault. */
export function refuse({ status, body }: Refusal): Decision {
  const payload = { json: JSON.stringify(body), tellsUsage: false };
  return { model: null, faults: {}, status, tokens: NO_TOKENS, payload };
}

/** Decides a call that has a plain JSON answer and costs no tokens. `text` may hold directives. */
export function decidePlain(value: object, text: string, context: DecisionContext): Decision {
  const faults = gatherFaults(text, null, context);
  if ('status' in faults) return refuse(faults);
  return decide(null, faults.value, NO_TOKENS, () => ({ json: JSON.stringify(value), tellsUsage: false }));
}

/** Decides a chat completion. */
export function decideChat(body: Body, context: DecisionContext): Decision {
  const request = parseRequest(body, chatRequestSchema);
  if ('status' in request) return refuse(request);
  const chat = request.value;
  const model = findModel(chat.model, 'chat');
  if (!model) return refuse(modelNotFound(chat.model));
  if (chat.stream_options && !chat.stream) {
    const message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
    return refuse(invalidRequest(message, 'stream_options'));
  }
  const found = gatherFaults(lastUserText(chat, messageTexts(chat)), model, context);
  if ('status' in found) return refuse(found);
  const faults = found.value;
  const answer = answerChat(chat, faults);
  const identity = {
    id: `chatcmpl-sim${context.callNumber}`,
    created: Math.floor(context.nowMs / 1000),
    model: model.id,
    serviceTier: chat.service_tier && chat.service_tier !== 'auto' ? chat.service_tier : 'default',
  };
  return decide(model, faults, answer.tokens, () => {
    if (chat.stream) {
      return { events: completionChunks(identity, answer, faults, chat.stream_options?.include_usage === true) };
    }
    const json = JSON.stringify(completionObject(identity, answer, faults));
    return { json, tellsUsage: faults.usage !== 'none' };
  });
}

/** Decides embeddings. Directives are read from the last input that is a text. */
export function decideEmbeddings(body: Body, context: DecisionContext): Decision {
  const parsed = parseRequest(body, embeddingsRequestSchema);
  if ('status' in parsed) return refuse(parsed);
  const request = parsed.value;
  const model = findModel(request.model, 'embedding');
  if (!model) return refuse(modelNotFound(request.model));
  const inputs = embeddingInputs(request.input);
  const last = inputs.at(-1);
  const faults = gatherFaults(typeof last === 'string' ? last : '', model, context);
  if ('status' in faults) return refuse(faults);
  const tokens = { ...NO_TOKENS, prompt: embeddingTokens(inputs) };
  const shown = faults.value.usage === 'zero' ? 0 : tokens.prompt;
  const usage = usageObject(tokens, faults.value) && { prompt_tokens: shown, total_tokens: shown };
  return decide(model, faults.value, tokens, () => ({
    json: JSON.stringify({ ...embeddingsObject(request, inputs), usage }),
    tellsUsage: usage !== undefined,
  }));
}

function decide(model: Model | null, faults: Faults, tokens: TokenCount, answer: () => Decision['payload']): Decision {
  const id = model?.id ?? null;
  if (faults.status !== undefined) return { ...refuse(simulatedError(faults.status)), model: id, faults };
  return { model: id, faults, status: 200, tokens, payload: answer() };
}

/** The call's own directives over the global faults. */
function gatherFaults(text: string, model: Model | null, context: DecisionContext): { value: Faults } | Refusal {
  const own = parseDirectives(text);
  if ('problem' in own) return invalidDirective(own.problem);
  return { value: { ...context.takeFaults(model?.id ?? null), ...own.value } };
}

function parseRequest<T>(body: Body, schema: z.ZodType<T>): { value: T } | Refusal {
  let json: unknown;
  try {
    json = JSON.parse(body.bytes.toString('utf8'));
  } catch {
    return invalidRequest('We could not parse the JSON body of your request.');
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return { value: parsed.data };
  const issue = parsed.error.issues[0];
  const param = issue?.path.join('.') ?? '';
  return invalidRequest(`Invalid value for '${param || 'body'}': ${issue?.message ?? 'malformed'}`, param || null);
}
