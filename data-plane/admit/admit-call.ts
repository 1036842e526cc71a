import { isForm, type WithBody } from '../authenticate.js';
import { readAnthropicBody } from '../dialects/anthropic-request.js';
import { readFormRequest } from '../dialects/form-request.js';
import { readGeminiAct } from '../dialects/gemini-act.js';
import { readGeminiBody } from '../dialects/gemini-request.js';
import { readOpenAiRequest } from '../dialects/openai-request.js';
import type { ModelEndpoint } from '../endpoints.js';
import { isRefusal, refuse, type Refusal } from '../http-error.js';
import { admitCount, admitModel, admitPassthrough, type Admitted, type MeteredRequest } from './admit.js';

/** Reads the body as its endpoint has it, and decides about the call. */
export function admitCall(whole: WithBody, nowMs: number): Admitted | Refusal {
  const { endpoint, body } = whole;
  if (endpoint.name === 'passthrough') return admitPassthrough(whole, endpoint, nowMs);
  if (endpoint.name === 'generate-content') {
    const request = readGeminiBody(body, endpoint);
    return isRefusal(request) ? request : admitModel(whole, 'chat-completions', request, nowMs);
  }
  if (endpoint.name === 'gemini-act') {
    const request = readGeminiAct(body, endpoint);
    if (isRefusal(request)) return request;
    return endpoint.act === 'countTokens'
      ? admitCount(whole, request, nowMs)
      : admitModel(whole, 'embeddings', request, nowMs);
  }
  if (endpoint.name === 'count-tokens') {
    const request = readAnthropicBody(body);
    return isRefusal(request) ? request : admitCount(whole, request, nowMs);
  }
  if (endpoint.name !== 'model-call') return refuse('unknown_path');
  const request = readModelRequest(whole, endpoint);
  return isRefusal(request) ? request : admitModel(whole, endpoint.operation, request, nowMs);
}

function readModelRequest(whole: WithBody, { operation }: ModelEndpoint): MeteredRequest | Refusal {
  const { body, dialect, request } = whole;
  if (dialect === 'anthropic') return readAnthropicBody(body);
  if (isForm(whole)) return readFormRequest(body, request.headers['content-type'] ?? '', operation);
  return readOpenAiRequest(body, operation);
}
