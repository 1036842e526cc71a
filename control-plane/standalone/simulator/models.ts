/** The models that the simulator sells, by kind. */
export const MODELS = [
  { id: 'pingtoken-sim-small', kind: 'chat' },
  { id: 'pingtoken-sim-large', kind: 'chat' },
  { id: 'pingtoken-sim-embedding', kind: 'embedding' },
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
] as const;

export type ProviderPath = (typeof PATHS)[number];

/** The model of that id and kind, or undefined. A chat model is unknown to the embeddings endpoint and vice versa. */
export function findModel(id: string, kind?: Model['kind']): Model | undefined {
  return MODELS.find((model) => model.id === id && (kind === undefined || model.kind === kind));
}

/** A model as `GET /v1/models` shows it. `created` is a constant, so that answers do not vary. */
export function describeModel(model: Model): object {
  return { id: model.id, object: 'model', created: 1_767_225_600, owned_by: 'pingtoken-simulator' };
}
