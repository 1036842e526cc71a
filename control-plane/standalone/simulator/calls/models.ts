import { decideGeminiModel, decideGeminiModels } from './gemini.js';
import { decidePlain, refuse } from '../decide.js';
import type { Decision } from '../decision.js';
import { modelNotFound } from '../errors.js';
import { describeModel, findModel, LISTED_MODELS, MODELS, type Model } from '../models.js';
import type { ProviderCall } from '../provider-call.js';

/** `GET /v1/models`, which the vendors share. */
export function decideModels(call: ProviderCall): Decision {
  if (call.dialect === 'gemini') return decideGeminiModels(call);
  if (call.dialect !== 'anthropic') {
    return decidePlain(call, { object: 'list', data: LISTED_MODELS.map(describeModel) });
  }
  const data = MODELS.filter(({ kind }) => kind === 'chat').map(describeForAnthropic);
  return decidePlain(call, { data, has_more: false, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null });
}

/** `GET /v1/models/:id` */
export function decideModel(call: ProviderCall): Decision {
  if (call.dialect === 'gemini') return decideGeminiModel(call);
  const model = findModel(call.id);
  if (!model) return refuse(call, modelNotFound(call.id));
  return decidePlain(call, call.dialect === 'anthropic' ? describeForAnthropic(model) : describeModel(model));
}

function describeForAnthropic({ id }: Model) {
  return { type: 'model', id, display_name: id, created_at: '2026-01-01T00:00:00Z' };
}
