/** The models that the simulator sells, by kind. A chat model answers in every dialect. */
export const MODELS = [
  { id: 'pingtoken-sim-small', kind: 'chat' },
  { id: 'pingtoken-sim-large', kind: 'chat' },
  { id: 'pingtoken-sim-embedding', kind: 'embedding' },
  { id: 'sim-anthropic', kind: 'chat' },
  { id: 'sim-anthropic-large', kind: 'chat' },
  { id: 'sim-gemini', kind: 'chat' },
  { id: 'sim-gemini-large', kind: 'chat' },
  { id: 'sim-gemini-embedding', kind: 'embedding' },
  { id: 'sim-image', kind: 'image' },
  { id: 'sim-speech', kind: 'speech' },
  { id: 'sim-transcription', kind: 'transcription' },
  { id: 'sim-moderation', kind: 'moderation' },
  { id: 'sim-rerank', kind: 'rerank' },
  { id: 'sim-realtime', kind: 'realtime' },
] as const;

export type Model = (typeof MODELS)[number];
export type ModelId = Model['id'];

/** The provider's paths in the form without `/v1` variants: the one vocabulary of `/served`. */
export const PATHS = [
  '/v1/chat/completions',
  '/v1/embeddings',
  '/v1/models',
  '/v1/models/:id',
  '/v1/files',
  '/v1/audio/transcriptions',
  'unknown',
  '/v1/messages',
  '/v1/messages/count_tokens',
  '/v1beta/models',
  '/v1beta/models/:id',
  '/v1beta/models/:id:generateContent',
  '/v1beta/models/:id:streamGenerateContent',
  '/v1beta/models/:id:countTokens',
  '/v1beta/models/:id:embedContent',
  '/v1beta/models/:id:batchEmbedContents',
  '/v1/completions',
  '/v1/responses',
  '/v1/responses/:id',
  '/v1/responses/:id/cancel',
  '/v1/responses/:id/input_items',
  '/v1/images/generations',
  '/v1/images/edits',
  '/v1/images/variations',
  '/v1/audio/speech',
  '/v1/audio/translations',
  '/v1/moderations',
  '/v1/rerank',
  '/v1/files/:id',
  '/v1/files/:id/content',
  '/v1/batches',
  '/v1/batches/:id',
  '/v1/batches/:id/cancel',
  '/v1/uploads',
  '/v1/uploads/:id/parts',
  '/v1/uploads/:id/complete',
  '/v1/uploads/:id/cancel',
  '/v1/realtime',
] as const;

export type ProviderPath = (typeof PATHS)[number];

/** The model of that id and kind, or undefined. A chat model is unknown to the embeddings endpoint and vice versa. */
export function findModel(id: string, kind?: Model['kind']): Model | undefined {
  return MODELS.find((model) => model.id === id && (kind === undefined || model.kind === kind));
}

/** What `GET /v1/models` lists in OpenAI's dialect: the models of the demonstration. The others are found by their ids. */
export const LISTED_MODELS: readonly Model[] = MODELS.slice(0, 3);

/** A model as `GET /v1/models` shows it. `created` is a constant, so that answers do not vary. */
export function describeModel(model: Model): object {
  return { id: model.id, object: 'model', created: 1_767_225_600, owned_by: 'pingtoken-simulator' };
}
