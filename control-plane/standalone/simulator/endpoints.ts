import { decideCountTokens, decideMessages } from './calls/anthropic.js';
import { decideBatch, decideBatchCancellation, decideBatchList, decideBatchState } from './calls/batches.js';
import { decideCompletions } from './calls/completions.js';
import { decideEdit, decideGeneration, decideVariation } from './calls/images.js';
import { decideModerations } from './calls/moderations.js';
import { decideRerank } from './calls/rerank.js';
import { decideResponse } from './calls/responses.js';
import {
  decideInputItems,
  decideResponseCancellation,
  decideResponseDeletion,
  decideStoredResponse,
} from './calls/stored-responses.js';
import { decideSpeech } from './calls/speech.js';
import { decideUpload, decideUploadCancellation, decideUploadCompletion, decideUploadPart } from './calls/uploads.js';
import { decideEmbeddings } from './calls/embeddings.js';
import { decideFile, decideFileContent, decideFileDeletion, decideFileList, decideFileUpload } from './calls/files.js';
import {
  decideBatchEmbed,
  decideEmbedContent,
  decideGeminiCount,
  decideGeminiModel,
  decideGeminiModels,
  decideGenerate,
  decideStreamGenerate,
} from './calls/gemini.js';
import { decideModel, decideModels } from './calls/models.js';
import { decideChat } from './calls/openai-chat.js';
import { decideTranscription, decideTranslation } from './calls/transcription.js';
import type { Decision } from './decision.js';
import type { DialectName } from './errors.js';
import { PATHS, type ProviderPath } from './models.js';
import type { ProviderCall } from './provider-call.js';

/** One method of one path of the provider. */
export interface Endpoint {
  readonly path: ProviderPath;
  readonly dialect: DialectName;
  readonly decide: (call: ProviderCall) => Decision;
}

type Table = Readonly<Record<string, Endpoint['decide']>>;

const OPENAI: Table = {
  'POST /v1/chat/completions': decideChat,
  'POST /v1/embeddings': decideEmbeddings,
  'GET /v1/models': decideModels,
  'GET /v1/models/:id': decideModel,
  'POST /v1/audio/transcriptions': decideTranscription,
  'POST /v1/audio/translations': decideTranslation,
  'GET /v1/files': decideFileList,
  'POST /v1/files': decideFileUpload,
  'GET /v1/files/:id': decideFile,
  'GET /v1/files/:id/content': decideFileContent,
  'DELETE /v1/files/:id': decideFileDeletion,
  'POST /v1/completions': decideCompletions,
  'POST /v1/responses': decideResponse,
  'GET /v1/responses/:id': decideStoredResponse,
  'DELETE /v1/responses/:id': decideResponseDeletion,
  'POST /v1/responses/:id/cancel': decideResponseCancellation,
  'GET /v1/responses/:id/input_items': decideInputItems,
  'POST /v1/images/generations': decideGeneration,
  'POST /v1/images/edits': decideEdit,
  'POST /v1/images/variations': decideVariation,
  'POST /v1/audio/speech': decideSpeech,
  'POST /v1/moderations': decideModerations,
  'POST /v1/rerank': decideRerank,
  'GET /v1/batches': decideBatchList,
  'POST /v1/batches': decideBatch,
  'GET /v1/batches/:id': decideBatchState,
  'POST /v1/batches/:id/cancel': decideBatchCancellation,
  'POST /v1/uploads': decideUpload,
  'POST /v1/uploads/:id/parts': decideUploadPart,
  'POST /v1/uploads/:id/complete': decideUploadCompletion,
  'POST /v1/uploads/:id/cancel': decideUploadCancellation,
};

const ANTHROPIC: Table = {
  'POST /v1/messages': decideMessages,
  'POST /v1/messages/count_tokens': decideCountTokens,
};

/** Google's own client says `/v1`, unless it is told otherwise; where that is OpenAI's path too, the credential decides. */
const GEMINI: Table = {
  'GET /v1beta/models': decideGeminiModels,
  'GET /v1beta/models/:id': decideGeminiModel,
  'POST /v1beta/models/:id:generateContent': decideGenerate,
  'POST /v1beta/models/:id:streamGenerateContent': decideStreamGenerate,
  'POST /v1beta/models/:id:countTokens': decideGeminiCount,
  'POST /v1beta/models/:id:embedContent': decideEmbedContent,
  'POST /v1beta/models/:id:batchEmbedContents': decideBatchEmbed,
};

const ENDPOINTS: ReadonlyMap<string, Endpoint> = new Map(
  [...rows('openai', OPENAI), ...rows('anthropic', ANTHROPIC), ...rows('gemini', GEMINI), ...geminiRowsUnderV1()].map(
    (row) => [row.line, row.endpoint],
  ),
);

/** Those with an id in their path: how they are recognised. */
const PATTERNS = [...ENDPOINTS].flatMap(([line, endpoint]) => {
  if (!line.includes(':id')) return [];
  return [{ endpoint, pattern: new RegExp(`^${line.replace(':id', '([^/]+?)')}$`) }];
});

/** An endpoint, and the id in the path, decoded; '' where it has none. */
export interface FoundEndpoint {
  readonly endpoint: Endpoint;
  readonly id: string;
}

/** Which of the provider's endpoints a request line means; `/v1` may be left out. `pathname` has no query. */
export function findEndpoint(method: string, pathname: string): FoundEndpoint | undefined {
  const line = `${method} ${/^\/v1(beta)?\//.test(pathname) ? pathname : `/v1${pathname}`}`;
  const exact = ENDPOINTS.get(line);
  if (exact) return { endpoint: exact, id: '' };
  for (const { pattern, endpoint } of PATTERNS) {
    const id = pattern.exec(line)?.[1];
    if (id !== undefined) return { endpoint, id: decode(id) };
  }
  return undefined;
}

function rows(dialect: DialectName, table: Table) {
  return Object.entries(table).map(([line, decide]) => {
    const path = PATHS.find((each) => line.endsWith(` ${each}`)) ?? 'unknown';
    return { line, endpoint: { path, dialect, decide } satisfies Endpoint };
  });
}

function geminiRowsUnderV1() {
  const own = rows('gemini', GEMINI).filter(({ line }) => line.startsWith('POST '));
  return own.map(({ line, endpoint }) => ({ line: line.replace('/v1beta/', '/v1/'), endpoint }));
}

function decode(id: string): string {
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}
