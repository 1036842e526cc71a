import { z } from 'zod';
import { answerChat, partText, type ChatAnswer } from '../chat/answer.js';
import { usageObject, type Identity } from '../chat/openai-wire.js';
import { lastUserText, type ChatTask } from '../chat/task.js';
import { decide, gatherFaults, parseRequest, refuse } from '../decide.js';
import type { Decision } from '../decision.js';
import { modelNotFound, streamFailure } from '../errors.js';
import { findModel } from '../models.js';
import { jsonPayload, type Chunk } from '../payload.js';
import type { ProviderCall } from '../provider-call.js';

const schema = z.object({
  model: z.string().min(1),
  prompt: z.union([z.string(), z.array(z.string()).min(1).max(20)]),
  max_tokens: z.int().min(1).nullish(),
  n: z.int().min(1).max(8).nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(4)]).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  temperature: z.number().nullish(),
  top_p: z.number().nullish(),
  seed: z.int().nullish(),
});

/**
 * `POST /v1/completions`, for every chat model. The cap is 16 tokens unless another is asked for, as OpenAI's is. Several
 * prompts are answered alike, each with as many choices as `n` says.
 */
export function decideCompletions(call: ProviderCall): Decision {
  const parsed = parseRequest(call, schema);
  if ('status' in parsed) return refuse(call, parsed);
  const request = parsed.value;
  const model = findModel(request.model, 'chat');
  if (!model) return refuse(call, modelNotFound(request.model));
  const task = taskOf(request);
  const found = gatherFaults(call, lastUserText(task), model);
  if ('status' in found) return refuse(call, found);
  const faults = found.value;
  const answer = answerChat(task, faults);
  const created = Math.floor(call.nowMs / 1000);
  const identity = { id: `cmpl-sim${call.callNumber}`, created, model: model.id, serviceTier: 'default' };
  const usage = usageObject(answer.tokens, faults);
  return decide(call, {
    model,
    faults,
    tokens: answer.tokens,
    answer: () => {
      if (request.stream) {
        const told = request.stream_options?.include_usage ? usage : undefined;
        return { events: textChunks(identity, answer, told), terminator: '[DONE]', failure: streamFailure('openai') };
      }
      const text = answer.parts.map(partText).join('');
      const choices = Array.from({ length: answer.choices }, (_, index) => choice(index, text, finishOf(answer)));
      return jsonPayload({ ...envelope(identity), choices, usage }, usage !== undefined);
    },
  });
}

function taskOf(request: z.infer<typeof schema>): ChatTask {
  const prompts = typeof request.prompt === 'string' ? [request.prompt] : request.prompt;
  return {
    model: request.model,
    turns: prompts.map((text) => ({ role: 'user', text })),
    tools: [],
    toolChoice: { mode: 'none' },
    parallelTools: false,
    schema: undefined,
    reasoning: undefined,
    stop: typeof request.stop === 'string' ? [request.stop] : (request.stop ?? []),
    maxTokens: request.max_tokens ?? 16,
    choices: prompts.length * (request.n ?? 1),
    echoed: {
      temperature: request.temperature ?? undefined,
      top_p: request.top_p ?? undefined,
      seed: request.seed ?? undefined,
    },
  };
}

function* textChunks(identity: Identity, answer: ChatAnswer, usage: object | undefined): Generator<Chunk> {
  const head = { ...envelope(identity), ...(usage && { usage: null }) };
  const chunk = (value: object, tokens: number): Chunk => {
    return { json: JSON.stringify({ ...head, choices: [value] }), tokens, tellsUsage: false };
  };
  for (let index = 0; index < answer.choices; index += 1) {
    for (const part of answer.parts) {
      for (let at = 0; at < part.tokens; at += 1) yield chunk(choice(index, part.tokenAt(at), null), 1);
    }
    yield chunk(choice(index, '', finishOf(answer)), answer.hiddenReasoningTokens);
  }
  if (usage) yield { json: JSON.stringify({ ...head, choices: [], usage }), tokens: 0, tellsUsage: true };
}

function envelope({ id, created, model }: Identity): object {
  return { id, object: 'text_completion', created, model };
}

function choice(index: number, text: string, finishReason: string | null): object {
  return { text, index, logprobs: null, finish_reason: finishReason };
}

function finishOf({ finish }: ChatAnswer): string {
  return finish === 'refusal' ? 'content_filter' : finish === 'length' ? 'length' : 'stop';
}
