import type { Authenticated } from '../authenticate.js';
import { refuse, sendJson, type Refusal } from '../http-error.js';
import { callableModels } from './admit.js';

/**
 * Answers `GET /v1/models` and `GET /v1/models/<name>`: what this caller could call now.
 * https://platform.openai.com/docs/api-reference/models
 */
export function answerModelQuestion(known: Authenticated, nowMs: number): Refusal | undefined {
  const { endpoint, account, catalogue } = known;
  const models = callableModels(account, catalogue, nowMs).map(({ model, owner }) => ({
    id: model.name,
    object: 'model',
    created: Math.floor(model.createdAt / 1000),
    owned_by: owner,
  }));
  if (endpoint.name !== 'show-model') {
    sendJson(known, 200, JSON.stringify({ object: 'list', data: models }));
    return undefined;
  }
  const found = models.find(({ id }) => id === endpoint.model);
  if (found === undefined) return refuse('model_not_found', 'model');
  sendJson(known, 200, JSON.stringify(found));
  return undefined;
}
