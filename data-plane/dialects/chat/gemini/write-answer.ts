import type { ChatAnswer, ChatChoice, Json } from '../chat.js';
import { writeFinishReason, writeMalformedCalls } from './finish-reasons.js';
import { writeLogprobs } from './logprobs.js';
import { readArguments, writeModelPart, type ModelPart } from './parts.js';
import { writeUsage } from './usage.js';

/** Writes a `GenerateContentResponse`. https://ai.google.dev/api/generate-content#generatecontentresponse */
export function writeAnswer(answer: ChatAnswer, model: string): Json {
  return {
    candidates: answer.choices.map(writeCandidate),
    ...(answer.usage !== undefined && { usageMetadata: writeUsage(answer.usage) }),
    modelVersion: model,
    responseId: answer.id,
  };
}

function writeCandidate(choice: ChatChoice, index: number): Json {
  const parts = choice.content.map(writeModelPart).filter((part): part is ModelPart => part !== undefined);
  const malformed = choice.content.flatMap((part) =>
    part.kind === 'tool-call' && readArguments(part.argumentsJson) === undefined
      ? [{ name: part.name, json: part.argumentsJson }]
      : [],
  );
  return {
    content: { parts: parts.length > 0 ? parts : [{ text: '' }], role: 'model' },
    ...(malformed.length > 0 ? writeMalformedCalls(malformed) : { finishReason: writeFinishReason(choice.finish) }),
    index,
    ...writeLogprobs(choice.logprobs),
  };
}
