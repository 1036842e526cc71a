import type { ChatAnswer, ChatChoice, Json } from '../chat.js';
import { isObject } from '../json.js';
import { readFinishReason } from './finish-reasons.js';
import { readLogprobs } from './logprobs.js';
import { makeCallId, parseModelPart, readModelPart } from './parts.js';
import { joinPieces } from './pieces.js';
import { readUsage } from './usage.js';

/** Reads a `GenerateContentResponse`. https://ai.google.dev/api/generate-content#generatecontentresponse */
export function readAnswer(body: Json): ChatAnswer | undefined {
  if (!isAnswer(body)) return undefined;
  const { createTime } = body;
  const id = readName(body['responseId']);
  const createdAtMs = typeof createTime === 'string' ? Date.parse(createTime) : Number.NaN;
  const choices = readCandidates(body).map((candidate) => readChoice(candidate, id));
  return {
    id,
    model: readName(body['modelVersion']),
    ...(!Number.isNaN(createdAtMs) && { createdAt: Math.floor(createdAtMs / 1000) }),
    choices: choices.length > 0 ? choices : [WITHHELD],
    usage: readUsage(body),
  };
}

/** Whether an object is an answer or a piece of one, whatever of it is missing. */
export function isAnswer(body: unknown): body is Readonly<Record<string, unknown>> {
  return isObject(body) && ANSWER_FIELDS.some((field) => isObject(body[field]) || Array.isArray(body[field]));
}
const ANSWER_FIELDS = ['candidates', 'promptFeedback', 'usageMetadata'];

/** A prompt that Google blocked has no candidates, only a `promptFeedback`. */
const WITHHELD: ChatChoice = { content: [], finish: 'content-filter' };

export interface Candidate {
  readonly index: number;
  readonly parts: readonly unknown[];
  readonly finishReason: string | undefined;
  readonly logprobsResult: unknown;
}

/** @returns the candidates in order of their index, which is not sent when it is zero */
export function readCandidates(answer: Readonly<Record<string, unknown>>): Candidate[] {
  const { candidates } = answer;
  if (!Array.isArray(candidates)) return [];
  const list = candidates.filter(isObject).map(({ index, content, finishReason, logprobsResult }) => ({
    index: typeof index === 'number' ? index : 0,
    parts: isObject(content) && Array.isArray(content['parts']) ? (content['parts'] as unknown[]) : [],
    finishReason: typeof finishReason === 'string' ? finishReason : undefined,
    logprobsResult,
  }));
  return list.length > 1 ? list.sort((one, other) => one.index - other.index) : list;
}

export function readName(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function readChoice(candidate: Candidate, answerId: string): ChatChoice {
  let calls = 0;
  const content = candidate.parts.flatMap((value) => {
    const part = parseModelPart(value);
    if (part === undefined) return [];
    return readModelPart(part, makeCallId(answerId, candidate.index, part.functionCall === undefined ? 0 : calls++));
  });
  const logprobs = readLogprobs(candidate.logprobsResult);
  return {
    content: joinPieces(content),
    finish: readFinishReason(candidate.finishReason ?? 'STOP', calls > 0),
    ...(logprobs !== undefined && { logprobs }),
  };
}
