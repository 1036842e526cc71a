import { refuse, type Refusal } from '../http-error.js';

/** What can be asked of what a provider keeps between calls. */
export type KeptAction =
  | 'upload-file'
  | 'list-files'
  | 'show-file'
  | 'delete-file'
  | 'download-file'
  | 'create-upload'
  | 'add-part'
  | 'complete-upload'
  | 'cancel-upload'
  | 'create-batch'
  | 'list-batches'
  | 'show-batch'
  | 'cancel-batch'
  | 'show-response'
  | 'delete-response'
  | 'cancel-response'
  | 'list-input-items';

export interface KeptEndpoint {
  readonly name: 'kept-things';
  readonly action: KeptAction;
  /** Of the path, as the caller spelt it; empty where it has none. */
  readonly id: string;
  readonly query: URLSearchParams;
}

/**
 * https://platform.openai.com/docs/api-reference/files, …/uploads, …/batch, …/responses
 */
const PATHS: Readonly<Record<string, Readonly<Record<string, KeptAction>>>> = {
  '/files': { GET: 'list-files', POST: 'upload-file' },
  '/files/:id': { GET: 'show-file', DELETE: 'delete-file' },
  '/files/:id/content': { GET: 'download-file' },
  '/uploads': { POST: 'create-upload' },
  '/uploads/:id/parts': { POST: 'add-part' },
  '/uploads/:id/complete': { POST: 'complete-upload' },
  '/uploads/:id/cancel': { POST: 'cancel-upload' },
  '/batches': { GET: 'list-batches', POST: 'create-batch' },
  '/batches/:id': { GET: 'show-batch' },
  '/batches/:id/cancel': { POST: 'cancel-batch' },
  '/responses/:id': { GET: 'show-response', DELETE: 'delete-response' },
  '/responses/:id/cancel': { POST: 'cancel-response' },
  '/responses/:id/input_items': { GET: 'list-input-items' },
};

/**
 * @param path behind `/v1`, without a query
 * @param query with its question mark, or empty
 * @returns undefined for a path that is none of these; a refusal names the methods that are allowed
 */
export function findKeptEndpoint(
  method: string,
  path: string,
  query: string,
): KeptEndpoint | (Refusal & { readonly allow: string }) | undefined {
  const [, collection = '', id, ...rest] = path.split('/');
  const template = ['', collection, ...(id === undefined ? [] : [':id']), ...rest].join('/');
  const actions = Object.hasOwn(PATHS, template) ? PATHS[template] : undefined;
  if (actions === undefined) return undefined;
  const action = Object.hasOwn(actions, method) ? actions[method] : undefined;
  if (action === undefined) return { ...refuse('method_not_allowed'), allow: Object.keys(actions).join(', ') };
  return { name: 'kept-things', action, id: id ?? '', query: new URLSearchParams(query) };
}
