import { decide, gatherFaults, parseRequest, refuse } from '../decide.js';
import type { Decision } from '../decision.js';
import { embeddingInputs, embeddingsObject, embeddingsRequestSchema, embeddingTokens } from '../embeddings.js';
import { modelNotFound } from '../errors.js';
import { findModel } from '../models.js';
import { jsonPayload } from '../payload.js';
import type { ProviderCall } from '../provider-call.js';
import { NO_TOKENS } from '../tokens.js';

/** `POST /v1/embeddings`. Directives are read from the last input that is a text. */
export function decideEmbeddings(call: ProviderCall): Decision {
  const parsed = parseRequest(call, embeddingsRequestSchema);
  if ('status' in parsed) return refuse(call, parsed);
  const request = parsed.value;
  const model = findModel(request.model, 'embedding');
  if (!model) return refuse(call, modelNotFound(request.model));
  const inputs = embeddingInputs(request.input);
  const last = inputs.at(-1);
  const found = gatherFaults(call, typeof last === 'string' ? last : '', model);
  if ('status' in found) return refuse(call, found);
  const faults = found.value;
  const tokens = { ...NO_TOKENS, prompt: embeddingTokens(inputs) };
  const shown = faults.usage === 'zero' ? 0 : tokens.prompt;
  const usage = faults.usage === 'none' ? undefined : { prompt_tokens: shown, total_tokens: shown };
  return decide(call, {
    model,
    faults,
    tokens,
    answer: () => jsonPayload({ ...embeddingsObject(request, inputs), usage }, usage !== undefined),
  });
}
