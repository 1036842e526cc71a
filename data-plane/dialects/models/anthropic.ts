import { refuse, type Refusal } from '../../http-error.js';
import { readCount, type ListedModel, type ModelList } from './model-list.js';

/** https://platform.claude.com/docs/en/api/models/list */
export const anthropicModels: ModelList = {
  has: ({ operations }) => operations.includes('chat-completions'),
  list,
  show,
};

const DEFAULT_LIMIT = 20;
const MAX_LIMIT = 1000;

/** The newest first; `after_id` and `before_id` are names of models that the list holds. */
function list(models: readonly ListedModel[], query: URLSearchParams): object | Refusal {
  const limit = readLimit(query.get('limit'));
  if (limit === undefined) return refuse('invalid_request', 'limit', `limit: a number from 1 to ${MAX_LIMIT}.`);
  const lifecycles = [...query.getAll('lifecycle'), ...query.getAll('lifecycle[]')];
  // What is not in use any more is not sold, so whoever asks for that alone asks for nothing.
  const shown = lifecycles.length === 0 || lifecycles.includes('active') ? models : [];
  const sorted = shown.toSorted((one, other) => other.createdAt - one.createdAt || (one.name < other.name ? -1 : 1));
  const after = query.get('after_id');
  const before = query.get('before_id');
  if (after !== null && before !== null) {
    return refuse('invalid_request', 'before_id', 'before_id: not together with after_id.');
  }
  const cursor = after ?? before;
  const place = cursor === null ? -1 : sorted.findIndex(({ name }) => name === cursor);
  if (cursor !== null && place === -1) {
    const field = after === null ? 'before_id' : 'after_id';
    return refuse('invalid_request', field, `${field}: no model of this list.`);
  }
  if (before !== null) {
    const start = Math.max(0, place - limit);
    return page(sorted.slice(start, place), start > 0);
  }
  return page(sorted.slice(place + 1, place + 1 + limit), place + 1 + limit < sorted.length);
}

function readLimit(text: string | null): number | undefined {
  if (text === null) return DEFAULT_LIMIT;
  const limit = readCount(text);
  return limit === undefined || limit < 1 || limit > MAX_LIMIT ? undefined : limit;
}

function page(models: readonly ListedModel[], hasMore: boolean): object {
  return {
    data: models.map(show),
    has_more: hasMore,
    first_id: models[0]?.name ?? null,
    last_id: models.at(-1)?.name ?? null,
  };
}

/** What only the vendor's own models have, a line and capabilities in its own terms, is null. */
function show({ name, createdAt, contextWindow, maxOutputTokens }: ListedModel): object {
  return {
    type: 'model',
    id: name,
    display_name: name,
    created_at: new Date(createdAt).toISOString(),
    max_input_tokens: contextWindow,
    max_tokens: maxOutputTokens,
    lifecycle: 'active',
    deprecated_at: null,
    retires_at: null,
    line: null,
    capabilities: null,
  };
}
