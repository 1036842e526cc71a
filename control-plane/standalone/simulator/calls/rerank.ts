import { z } from 'zod';
import { decide, gatherFaults, parseRequest, refuse } from '../decide.js';
import type { Decision } from '../decision.js';
import { modelNotFound } from '../errors.js';
import { findModel } from '../models.js';
import { jsonPayload } from '../payload.js';
import type { ProviderCall } from '../provider-call.js';
import { NO_TOKENS, NO_UNITS, promptTokens } from '../tokens.js';

const DOCUMENTS_PER_SEARCH = 100;

const schema = z.object({
  model: z.string().min(1),
  query: z.string().min(1),
  documents: z
    .array(z.union([z.string(), z.object({ text: z.string() })]))
    .min(1)
    .max(1000),
  top_n: z.int().min(1).nullish(),
  return_documents: z.boolean().nullish(),
});

/**
 * `POST /v1/rerank`, with Cohere's `meta.billed_units` and Jina's `usage`. A document is as relevant as the share of the
 * query's words that it holds. https://docs.cohere.com/reference/rerank https://api.jina.ai/redoc
 */
export function decideRerank(call: ProviderCall): Decision {
  const parsed = parseRequest(call, schema);
  if ('status' in parsed) return refuse(call, parsed);
  const request = parsed.value;
  const model = findModel(request.model, 'rerank');
  if (!model) return refuse(call, modelNotFound(request.model));
  const found = gatherFaults(call, request.query, model);
  if ('status' in found) return refuse(call, found);
  const faults = found.value;
  const texts = request.documents.map((each) => (typeof each === 'string' ? each : each.text));
  const results = texts
    .map((text, index) => ({
      index,
      relevance_score: relevance(request.query, text),
      ...(request.return_documents && { document: { text } }),
    }))
    .sort((one, other) => other.relevance_score - one.relevance_score)
    .slice(0, request.top_n ?? texts.length);
  const searches = Math.ceil(texts.length / DOCUMENTS_PER_SEARCH);
  const tokens = { ...NO_TOKENS, prompt: promptTokens([request.query, ...texts]) };
  const isZero = faults.usage === 'zero';
  const usage = {
    meta: { api_version: { version: '2' }, billed_units: { search_units: isZero ? 0 : searches } },
    usage: { total_tokens: isZero ? 0 : tokens.prompt },
  };
  const told = faults.usage === 'none' ? {} : usage;
  return decide(call, {
    model,
    faults,
    tokens,
    units: { ...NO_UNITS, searches },
    answer: () =>
      jsonPayload({ id: `rerank-sim${call.callNumber}`, model: model.id, results, ...told }, faults.usage !== 'none'),
  });
}

function relevance(query: string, text: string): number {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const held = words.filter((word) => text.toLowerCase().includes(word)).length;
  return held / Math.max(words.length, 1);
}
