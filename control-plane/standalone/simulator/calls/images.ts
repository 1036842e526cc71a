import { z } from 'zod';
import { checkRequest, decide, gatherFaults, parseRequest, refuse } from '../decide.js';
import type { Decision } from '../decision.js';
import { invalidRequest, modelNotFound, streamFailure, type Refusal } from '../errors.js';
import { findModel } from '../models.js';
import { readForm } from '../multipart.js';
import { jsonPayload, namedEvent, type Chunk } from '../payload.js';
import type { ProviderCall } from '../provider-call.js';
import { tinyPng } from '../tiny-png.js';
import { NO_TOKENS, NO_UNITS, promptTokens } from '../tokens.js';
import { hash, mix } from '../words.js';

/** The token rule for images: so many for each that is given, and for each that is made. */
const TOKENS_PER_INPUT = 50;
const TOKENS_PER_OUTPUT = 100;

/** Numbers and flags of a form come as texts. */
const schema = z.object({
  model: z.string().min(1).default('sim-image'),
  prompt: z.string().max(32_000).default(''),
  n: z.coerce.number().int().min(1).max(10).nullish(),
  size: z.string().default('1024x1024'),
  quality: z.string().default('medium'),
  response_format: z.enum(['b64_json', 'url']).nullish(),
  stream: z.union([z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')]).nullish(),
  partial_images: z.coerce.number().int().min(0).max(3).nullish(),
});
type ImageRequest = z.infer<typeof schema>;

/** `POST /v1/images/generations` */
export function decideGeneration(call: ProviderCall): Decision {
  const request = parseRequest(call, schema);
  if ('status' in request) return refuse(call, request);
  if (request.value.prompt === '') return refuse(call, promptMissing());
  return decideImages(call, request.value, { inputs: 0, event: 'image_generation' });
}

/** `POST /v1/images/edits` */
export function decideEdit(call: ProviderCall): Decision {
  return decideFromForm(call, true);
}

/** `POST /v1/images/variations` */
export function decideVariation(call: ProviderCall): Decision {
  return decideFromForm(call, false);
}

function decideFromForm(call: ProviderCall, needsPrompt: boolean): Decision {
  const form = readForm(call);
  if ('status' in form) return refuse(call, form);
  const { text, files } = form.value;
  const fields = Object.fromEntries(Object.keys(schema.shape).map((name) => [name, text(name)]));
  const request = checkRequest(fields, schema);
  if ('status' in request) return refuse(call, request);
  const inputs = files('image').length + files('mask').length;
  if (inputs === 0) return refuse(call, invalidRequest("Missing required parameter: 'image'.", 'image'));
  if (needsPrompt && request.value.prompt === '') return refuse(call, promptMissing());
  return decideImages(call, request.value, { inputs, event: 'image_edit' });
}

function promptMissing(): Refusal {
  return invalidRequest("Missing required parameter: 'prompt'.", 'prompt');
}

interface Kind {
  /** Images that were given. */
  readonly inputs: number;
  readonly event: 'image_generation' | 'image_edit';
}

/** Images follow from the prompt and their number. Directives are read from the prompt. */
function decideImages(call: ProviderCall, request: ImageRequest, { inputs, event }: Kind): Decision {
  const model = findModel(request.model, 'image');
  if (!model) return refuse(call, modelNotFound(request.model));
  const found = gatherFaults(call, request.prompt, model);
  if ('status' in found) return refuse(call, found);
  const faults = found.value;
  const count = request.n ?? 1;
  const text = request.prompt === '' ? 0 : promptTokens([request.prompt]);
  const tokens = {
    ...NO_TOKENS,
    prompt: text + inputs * TOKENS_PER_INPUT,
    completion: count * TOKENS_PER_OUTPUT,
  };
  const told = { text, image: inputs * TOKENS_PER_INPUT, output: tokens.completion };
  const usage = faults.usage === 'none' ? undefined : usageOf(faults.usage === 'zero' ? NOTHING : told);
  const created = Math.floor(call.nowMs / 1000);
  const { size, quality } = request;
  const common = { size, quality, background: 'opaque', output_format: 'png' };
  const pictures = Array.from({ length: count }, (_, index) =>
    tinyPng(mix(hash([request.prompt]) + index)).toString('base64'),
  );
  return decide(call, {
    model,
    faults,
    tokens,
    units: { ...NO_UNITS, images: count },
    answer: () => {
      if (request.stream) {
        const shared = { ...common, created_at: created };
        const partials = request.partial_images ?? 0;
        return { events: imageEvents({ event, pictures, partials, shared, usage }), failure: streamFailure('openai') };
      }
      const data = pictures.map((b64, index) =>
        request.response_format === 'url'
          ? { url: `https://images.example.com/${created}/${index}.png` }
          : { b64_json: b64 },
      );
      return jsonPayload({ created, ...common, data, usage }, usage !== undefined);
    },
  });
}

const NOTHING = { text: 0, image: 0, output: 0 };

/** As gpt-image-1 and its successors report it. */
function usageOf({ text, image, output }: typeof NOTHING): object {
  return {
    input_tokens: text + image,
    input_tokens_details: { text_tokens: text, image_tokens: image },
    output_tokens: output,
    output_tokens_details: { text_tokens: 0, image_tokens: output },
    total_tokens: text + image + output,
  };
}

function* imageEvents(stream: {
  event: Kind['event'];
  pictures: readonly string[];
  partials: number;
  shared: object;
  usage: object | undefined;
}): Generator<Chunk> {
  const { event, pictures, partials, shared, usage } = stream;
  for (const [index, picture] of pictures.entries()) {
    const image = { ...shared, b64_json: picture };
    for (let partial = 0; partial < partials; partial += 1) {
      yield namedEvent({ type: `${event}.partial_image`, partial_image_index: partial, ...image });
    }
    const isLast = index === pictures.length - 1;
    const told = isLast ? usage : undefined;
    yield namedEvent({ type: `${event}.completed`, ...image, usage: told }, TOKENS_PER_OUTPUT, told !== undefined);
  }
}
