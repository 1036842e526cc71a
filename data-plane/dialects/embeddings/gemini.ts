import type { Usage } from '@pingtoken/shared/rate-card';
import type { UnreadableRequest } from '../chat/chat.js';
import { Faults, Fields } from '../chat/openai/fields.js';
import { nameInCamelCase } from '../chat/gemini/proto-json.js';
import { isObject } from '../chat/json.js';
import { geminiPath, modelResource } from '../gemini-act.js';
import {
  isVector,
  promptTokensOf,
  type EmbeddingsAnswer,
  type EmbeddingsDialect,
  type EmbeddingsRequest,
} from './embeddings.js';

/** `embedContent` and `batchEmbedContents`: https://ai.google.dev/api/embeddings */
export const geminiEmbeddings: EmbeddingsDialect = {
  readRequest,
  writeRequest,
  requestPath: (upstreamModel) => geminiPath(upstreamModel, 'batchEmbedContents'),
  readAnswer,
  writeAnswer,
};

interface OneRequest {
  readonly text: string;
  readonly dimensions: number | undefined;
  readonly unsupported: readonly string[];
}

function readRequest(
  body: unknown,
  { model, isSingle }: { readonly model: string; readonly isSingle: boolean },
): EmbeddingsRequest | UnreadableRequest {
  const faults = new Faults();
  const named = nameDeeply(body);
  if (!isObject(named)) return { unreadable: { field: '', message: 'The request body must be a JSON object.' } };
  const fields = new Fields(named, '', faults);
  const requests = isSingle ? [readOne(fields, model)] : readMany(fields, model);
  const [first] = requests;
  if (first === undefined) fields.refuse('requests', '"requests" must be a list of requests, at least one.');
  const odd = requests.findIndex(({ dimensions }) => dimensions !== first?.dimensions);
  if (odd !== -1) {
    const field = `requests[${odd}].outputDimensionality`;
    fields.refuse(field, `"${field}" differs from the first request's, and this model's provider takes one for all.`);
  }
  if (faults.first !== undefined) return { unreadable: faults.first };
  return {
    texts: requests.map(({ text }) => text),
    ...(first?.dimensions !== undefined && { dimensions: first.dimensions }),
    encoding: 'numbers',
    isSingle,
    unsupported: [
      ...faults.inexpressible.map(({ field }) => field),
      ...requests.flatMap(({ unsupported }) => unsupported),
    ],
  };
}

/**
 * Google's own limit. Attack: other vendors take more at once, and an answer of thousands of vectors is too long to be
 * translated; it would be paid for and given to nobody.
 */
const MAX_REQUESTS = 100;

function readMany(fields: Fields, model: string): readonly OneRequest[] {
  const requests = fields.list('requests') ?? [];
  if (requests.length > MAX_REQUESTS) fields.refuse('requests', `"requests" must be at most ${MAX_REQUESTS}.`);
  // Repeats the path's, where it is given at all.
  fields.passOver('model');
  fields.finish();
  return requests.map((each) => readOne(each, model));
}

/** What the vector is for, and the title of what it stands for: OpenAI's dialect has no place for either. */
const PURPOSES = ['taskType', 'title'];

function readOne(fields: Fields, model: string): OneRequest {
  const named = fields.string('model');
  if (named !== undefined && named !== model && named !== modelResource(model)) {
    fields.refuse('model', `"${fields.pathOf('model')}" must be the model that the path names.`);
  }
  const unsupported = PURPOSES.filter((name) => {
    const value = fields.any(name);
    return value !== undefined && value !== '' && value !== 'TASK_TYPE_UNSPECIFIED';
  });
  const dimensions = fields.integer('outputDimensionality', 1);
  const text = readContent(fields);
  fields.finish();
  return { text, dimensions, unsupported: unsupported.map((name) => fields.pathOf(name)) };
}

/** The texts of all parts one after the other, as the model reads them. */
function readContent(fields: Fields): string {
  const content = fields.nested('content');
  if (content === undefined) {
    fields.refuse('content', `"${fields.pathOf('content')}" must be an object with parts.`);
    return '';
  }
  const parts = content.list('parts') ?? [];
  content.passOver('role');
  content.finish();
  const texts = parts.map((part) => {
    const text = part.string('text');
    part.finish();
    return text ?? '';
  });
  return texts.join('');
}

/** Google reads both spellings of a field. Nothing in such a request is the caller's own to name. */
function nameDeeply(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(nameDeeply);
  const named = nameInCamelCase(value);
  if (!isObject(named)) return value;
  return Object.fromEntries(Object.entries(named).map(([name, each]) => [name, nameDeeply(each)]));
}

/** Always many at once, for one is a list of one. */
function writeRequest({ texts, dimensions }: EmbeddingsRequest, upstreamModel: string): object {
  const model = modelResource(upstreamModel);
  return {
    requests: texts.map((text) => ({
      model,
      content: { parts: [{ text }] },
      ...(dimensions !== undefined && { outputDimensionality: dimensions }),
    })),
  };
}

function readAnswer(body: unknown, { texts }: EmbeddingsRequest): EmbeddingsAnswer | undefined {
  if (!isObject(body) || !Array.isArray(body['embeddings']) || body['embeddings'].length !== texts.length) {
    return undefined;
  }
  const vectors = (body['embeddings'] as readonly unknown[]).map((each) =>
    isObject(each) ? each['values'] : undefined,
  );
  return vectors.every(isVector) ? { vectors, usage: convertGeminiEmbeddingUsage(body['usageMetadata']) } : undefined;
}

function writeAnswer({ vectors, usage }: EmbeddingsAnswer, { isSingle }: EmbeddingsRequest): object {
  const embeddings = vectors.map((values) => ({ values }));
  return {
    ...(isSingle ? { embedding: embeddings[0] } : { embeddings }),
    ...(usage !== undefined && { usageMetadata: writeUsage(promptTokensOf(usage)) }),
  };
}

function writeUsage(promptTokenCount: number): object {
  return { promptTokenCount, promptTokenDetails: [{ modality: 'TEXT', tokenCount: promptTokenCount }] };
}

/**
 * The report of an embedding, which newer models give: its details are named a little otherwise than those of an answer.
 * What is neither a sound nor a picture is `input`, so that the sum is kept whatever the details say.
 * https://ai.google.dev/api/embeddings
 * @returns undefined when the value is no report
 */
export function convertGeminiEmbeddingUsage(value: unknown): Usage | undefined {
  if (!isObject(value)) return undefined;
  const prompt = countOf(value['promptTokenCount'] ?? value['totalTokenCount']);
  if (prompt === undefined) return undefined;
  const details = value['promptTokenDetails'] ?? value['promptTokensDetails'];
  const audioInput = Math.min(modalityOf(details, 'AUDIO'), prompt);
  const imageInput = Math.min(modalityOf(details, 'IMAGE'), prompt - audioInput);
  const usage: Usage = { input: prompt - audioInput - imageInput, output: 0, request: 1 };
  if (audioInput > 0) usage.audioInput = audioInput;
  if (imageInput > 0) usage.imageInput = imageInput;
  return usage;
}

function modalityOf(details: unknown, modality: string): number {
  const list: readonly unknown[] = Array.isArray(details) ? details : [];
  return list.reduce<number>((sum, each) => {
    const count = isObject(each) && each['modality'] === modality ? countOf(each['tokenCount']) : undefined;
    return sum + (count ?? 0);
  }, 0);
}

function countOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
