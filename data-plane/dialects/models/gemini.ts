import type { Operation } from '@pingtoken/shared/usage-event';
import { refuse, type Refusal } from '../../http-error.js';
import { readCount, type ListedModel, type ModelList } from './model-list.js';

/** https://ai.google.dev/api/models */
export const geminiModels: ModelList = {
  has: (model) => methodsOf(model).length > 0,
  list,
  show,
};

const DEFAULT_PAGE_SIZE = 50;
const MAX_PAGE_SIZE = 1000;

/** By name; a page's token holds the last name before it, so that it stays good when models come and go meanwhile. */
function list(models: readonly ListedModel[], query: URLSearchParams): object | Refusal {
  const asked = readCount(query.get('pageSize') ?? query.get('page_size') ?? '0');
  if (asked === undefined) return refuse('invalid_request', 'pageSize', 'pageSize must be a whole number from 0 on.');
  const size = asked === 0 ? DEFAULT_PAGE_SIZE : Math.min(asked, MAX_PAGE_SIZE);
  const last = readToken(query.get('pageToken') ?? query.get('page_token') ?? '');
  if (last === undefined) return refuse('invalid_request', 'pageToken', 'pageToken is none that a list has given.');
  const rest = models.filter(({ name }) => name > last).sort((one, other) => (one.name < other.name ? -1 : 1));
  const shown = rest.slice(0, size);
  const token = rest.length > size ? { nextPageToken: writeToken(shown.at(-1)?.name ?? '') } : {};
  return { models: shown.map(show), ...token };
}

function writeToken(name: string): string {
  return Buffer.from(name).toString('base64url');
}

function readToken(token: string): string | undefined {
  const name = Buffer.from(token, 'base64url').toString();
  return writeToken(name) === token ? name : undefined;
}

/** A limit that is not known is left out, as Google leaves out what is not set. */
function show(model: ListedModel): object {
  const { name, contextWindow, maxOutputTokens, capabilities } = model;
  return {
    name: `models/${name}`,
    baseModelId: name,
    displayName: name,
    ...(contextWindow !== null && { inputTokenLimit: contextWindow }),
    ...(maxOutputTokens !== null && { outputTokenLimit: maxOutputTokens }),
    supportedGenerationMethods: methodsOf(model),
    ...(capabilities.includes('reasoning') && { thinking: true }),
  };
}

const METHODS: Readonly<Partial<Record<Operation, readonly string[]>>> = {
  'chat-completions': ['generateContent', 'streamGenerateContent', 'countTokens'],
  embeddings: ['embedContent', 'batchEmbedContents'],
};

function methodsOf({ operations }: ListedModel): readonly string[] {
  return operations.flatMap((operation) => METHODS[operation] ?? []);
}
