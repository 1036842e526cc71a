import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { parseJson } from '@pingtoken/shared/wire';
import type { MeteredRequest } from '../admit/admit.js';
import type { EmbeddingsDialect } from '../dialects/embeddings/embeddings.js';
import { geminiEmbeddings } from '../dialects/embeddings/gemini.js';
import { openAiEmbeddings } from '../dialects/embeddings/openai.js';
import { refuse, type Refusal } from '../http-error.js';
import type { PlannedAttempt } from '../route/route.js';
import type { Outgoing } from './prepared-call.js';

/** Anthropic's API has no vectors. */
const DIALECTS: Readonly<Record<Dialect, EmbeddingsDialect | undefined>> = {
  openai: openAiEmbeddings,
  anthropic: undefined,
  gemini: geminiEmbeddings,
};

/** A call for vectors, from one dialect to the other. */
export function convertEmbeddings(request: MeteredRequest, attempt: PlannedAttempt): Outgoing | Refusal {
  const caller = DIALECTS[request.dialect];
  const provider = DIALECTS[attempt.provider.dialect];
  if (caller === undefined || provider === undefined) return refuse('model_not_found', 'model');
  const isSingle = 'act' in request && request.act === 'embedContent';
  const asked = caller.readRequest(parseJson(request.bytes.toString()), { model: request.model, isSingle });
  if ('unreadable' in asked) return refuse('unsupported_field', asked.unreadable.field, asked.unreadable.message);
  const [field] = asked.unsupported;
  if (field !== undefined && !attempt.dropsUnsupported) {
    return refuse('unsupported_field', field, `The field "${field}" cannot be used with this model.`);
  }
  return {
    client: 'undici',
    path: provider.requestPath(attempt.upstreamModel),
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: Buffer.from(JSON.stringify(provider.writeRequest(asked, attempt.upstreamModel))),
    translation: {
      convertAnswer: (body) => {
        const answer = provider.readAnswer(parse(body), asked);
        if (answer === undefined) return undefined;
        return { json: JSON.stringify(caller.writeAnswer(answer, asked, request.model)), usage: answer.usage };
      },
    },
  };
}

/** Vectors are 32-bit floats, which a double holds exactly. */
function parse(body: Buffer): unknown {
  try {
    return parseJson(body.toString());
  } catch {
    return undefined;
  }
}
