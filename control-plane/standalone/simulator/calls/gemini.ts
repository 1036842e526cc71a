import { z } from 'zod';
import { answerChat } from '../chat/answer.js';
import { contentSchema, generateRequestSchema, geminiTask, geminiTurns } from '../chat/gemini-request.js';
import { contentChunks, contentObject } from '../chat/gemini-wire.js';
import { lastUserText } from '../chat/task.js';
import { decide, decidePlain, gatherFaults, parseRequest, refuse } from '../decide.js';
import type { Decision } from '../decision.js';
import { embeddingTokens, embeddingVector } from '../embeddings.js';
import { invalidRequest, modelNotFound, streamFailure, type Refusal } from '../errors.js';
import { findModel, MODELS, type Model } from '../models.js';
import { jsonPayload, type Payload } from '../payload.js';
import type { ProviderCall } from '../provider-call.js';
import { NO_TOKENS, promptTokens } from '../tokens.js';

/** `POST /v1beta/models/:id:generateContent` */
export function decideGenerate(call: ProviderCall): Decision {
  return decideContent(call, false);
}

/** `POST /v1beta/models/:id:streamGenerateContent`: events with `alt=sse`, else one JSON array of all of them. */
export function decideStreamGenerate(call: ProviderCall): Decision {
  return decideContent(call, true);
}

function decideContent(call: ProviderCall, streamed: boolean): Decision {
  const model = findModel(call.id, 'chat');
  if (!model) return refuse(call, modelNotFound(call.id));
  const request = parseRequest(call, generateRequestSchema);
  if ('status' in request) return refuse(call, request);
  const task = geminiTask(model.id, request.value);
  const found = gatherFaults(call, lastUserText(task), model);
  if ('status' in found) return refuse(call, found);
  const faults = found.value;
  const answer = answerChat(task, faults);
  const identity = { id: `sim${call.callNumber}`, model: model.id };
  const tellsUsage = faults.usage !== 'none';
  return decide(call, {
    model,
    faults,
    tokens: answer.tokens,
    answer: (): Payload => {
      if (!streamed) return jsonPayload(contentObject(identity, answer, faults), tellsUsage);
      const events = contentChunks(identity, answer, faults);
      if (call.query.get('alt') === 'sse') return { events, failure: streamFailure('gemini') };
      const body = `[${Array.from(events, ({ json }) => json).join(',\r\n')}]`;
      return { body, contentType: 'application/json', tellsUsage };
    },
  });
}

const countSchema = z.union([
  z.strictObject({ contents: z.array(contentSchema).min(1) }),
  z.strictObject({ generateContentRequest: generateRequestSchema.extend({ model: z.string() }) }),
]);

/** Google wants what the body names to be what the path names. */
function otherModel(named: string, field: string): Refusal {
  return invalidRequest(`The model ${named.slice(0, 200)} is not the one of the path.`, `${field}.model`);
}

/** `POST /v1beta/models/:id:countTokens`. It costs nothing. */
export function decideGeminiCount(call: ProviderCall): Decision {
  const model = findModel(call.id, 'chat');
  if (!model) return refuse(call, modelNotFound(call.id));
  const request = parseRequest(call, countSchema);
  if ('status' in request) return refuse(call, request);
  if ('generateContentRequest' in request.value) {
    const { model: named } = request.value.generateContentRequest;
    if (named !== `models/${model.id}`) return refuse(call, otherModel(named, 'generateContentRequest'));
  }
  const counted = 'contents' in request.value ? request.value : request.value.generateContentRequest;
  const turns = geminiTurns(counted);
  const faults = gatherFaults(call, lastUserText({ turns }), model);
  if ('status' in faults) return refuse(call, faults);
  const totalTokens = promptTokens(turns.map(({ text }) => text));
  return decide(call, {
    model,
    faults: faults.value,
    answer: () => jsonPayload({ totalTokens, promptTokensDetails: [{ modality: 'TEXT', tokenCount: totalTokens }] }),
  });
}

const embedSchema = z.object({
  model: z.string().optional(),
  content: contentSchema,
  outputDimensionality: z.int().min(1).max(3072).optional(),
});
type EmbedRequest = z.infer<typeof embedSchema>;

/** `POST /v1beta/models/:id:embedContent` */
export function decideEmbedContent(call: ProviderCall): Decision {
  const request = parseRequest(call, embedSchema);
  if ('status' in request) return refuse(call, request);
  return decideEmbeddings(call, [request.value], ([embedding]) => ({ embedding }));
}

/** `POST /v1beta/models/:id:batchEmbedContents` */
export function decideBatchEmbed(call: ProviderCall): Decision {
  const inBatch = embedSchema.required({ model: true });
  const request = parseRequest(call, z.object({ requests: z.array(inBatch).min(1).max(100) }));
  if ('status' in request) return refuse(call, request);
  return decideEmbeddings(call, request.value.requests, (embeddings) => ({ embeddings }));
}

/** Directives are read from the last content. */
function decideEmbeddings(
  call: ProviderCall,
  requests: readonly EmbedRequest[],
  shape: (embeddings: readonly object[]) => object,
): Decision {
  const model = findModel(call.id, 'embedding');
  if (!model) return refuse(call, modelNotFound(call.id));
  const odd = requests.find((each) => each.model !== undefined && each.model !== `models/${model.id}`);
  if (odd) return refuse(call, otherModel(odd.model ?? '', 'requests'));
  const texts = requests.map(({ content }) => content.parts.map(({ text = '' }) => text).join(''));
  const faults = gatherFaults(call, texts.at(-1) ?? '', model);
  if ('status' in faults) return refuse(call, faults);
  const prompt = embeddingTokens(texts);
  const told = faults.value.usage === 'zero' ? 0 : prompt;
  const usage =
    faults.value.usage === 'none'
      ? {}
      : { usageMetadata: { promptTokenCount: told, promptTokenDetails: [{ modality: 'TEXT', tokenCount: told }] } };
  const embeddings = requests.map(({ outputDimensionality }, index) => ({
    values: Array.from(embeddingVector(texts[index] ?? '', outputDimensionality)),
  }));
  return decide(call, {
    model,
    faults: faults.value,
    tokens: { ...NO_TOKENS, prompt },
    answer: () => jsonPayload({ ...shape(embeddings), ...usage }, faults.value.usage !== 'none'),
  });
}

/** `GET /v1beta/models` */
export function decideGeminiModels(call: ProviderCall): Decision {
  return decidePlain(call, { models: MODELS.flatMap(describe) });
}

/** `GET /v1beta/models/:id` */
export function decideGeminiModel(call: ProviderCall): Decision {
  const [described] = MODELS.filter(({ id }) => id === call.id).flatMap(describe);
  return described ? decidePlain(call, described) : refuse(call, modelNotFound(call.id));
}

const METHODS: Readonly<Partial<Record<Model['kind'], readonly string[]>>> = {
  chat: ['generateContent', 'countTokens'],
  embedding: ['embedContent', 'countTextTokens'],
};

function describe({ id, kind }: Model): object[] {
  const supportedGenerationMethods = METHODS[kind];
  if (!supportedGenerationMethods) return [];
  const limits = { inputTokenLimit: 1_048_576, outputTokenLimit: 65_536 };
  return [{ name: `models/${id}`, version: '001', displayName: id, ...limits, supportedGenerationMethods }];
}
