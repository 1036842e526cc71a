import type { Dialect } from '@pingtoken/shared/config-snapshot';
import type { Authenticated } from '../authenticate.js';
import { anthropicModels } from '../dialects/models/anthropic.js';
import { geminiModels } from '../dialects/models/gemini.js';
import type { ListedModel, ModelList } from '../dialects/models/model-list.js';
import { openAiModels } from '../dialects/models/openai.js';
import { isRefusal, refuse, sendJson, type Refusal } from '../http-error.js';
import { callableModels } from './admit.js';

const LISTS: Readonly<Record<Dialect, ModelList>> = {
  openai: openAiModels,
  anthropic: anthropicModels,
  gemini: geminiModels,
};

/** Answers which models this caller could call now, or what one of them is, as the caller's own vendor would. */
export function answerModelQuestion(known: Authenticated, nowMs: number): Refusal | undefined {
  const { endpoint, dialect, request } = known;
  const list = LISTS[dialect];
  const models = listedModels(known, nowMs).filter((model) => list.has(model));
  const answer =
    endpoint.name === 'show-model' ? showOne(list, models, endpoint.model) : list.list(models, queryOf(request.url));
  if (isRefusal(answer)) return answer;
  sendJson(known, 200, JSON.stringify(answer));
  return undefined;
}

function showOne(list: ModelList, models: readonly ListedModel[], name: string): object | Refusal {
  const found = models.find((model) => model.name === name);
  return found === undefined ? refuse('model_not_found', 'model') : list.show(found);
}

function listedModels({ account, catalogue }: Authenticated, nowMs: number): readonly ListedModel[] {
  return callableModels(account, catalogue, nowMs).map(({ model, owner, operations }) => {
    const { name, createdAt, capabilities, contextWindow, maxOutputTokens } = model;
    return { name, createdAt, owner, operations, capabilities, contextWindow, maxOutputTokens };
  });
}

function queryOf(url = ''): URLSearchParams {
  const at = url.indexOf('?');
  return new URLSearchParams(at === -1 ? '' : url.slice(at + 1));
}
