import type { Capability } from '@pingtoken/shared/config-snapshot';
import type { Operation } from '@pingtoken/shared/usage-event';
import type { ModelEntry, ModelList } from './entries.js';

const TEXT: readonly Capability[] = ['tools', 'json-schema'];
const THINKS: readonly Capability[] = [...TEXT, 'reasoning'];
const SEES: readonly Capability[] = ['vision', ...TEXT];
const SEES_AND_THINKS: readonly Capability[] = ['vision', ...THINKS];
const READS: readonly Capability[] = [...SEES, 'pdf'];
const READS_AND_THINKS: readonly Capability[] = [...SEES_AND_THINKS, 'pdf'];
const SEARCHES: readonly Capability[] = [...READS_AND_THINKS, 'web-search'];
const HEARS: readonly Capability[] = [...READS_AND_THINKS, 'audio-input'];

const CHAT: readonly Operation[] = ['chat-completions'];
const CHAT_AND_RESPONSES: readonly Operation[] = ['chat-completions', 'responses'];
const OPENAI_CHAT: readonly Operation[] = [...CHAT_AND_RESPONSES, 'batches'];

const chat = (
  upstreamModel: string,
  capabilities: readonly Capability[],
  more: Omit<ModelEntry, 'upstreamModel' | 'operations' | 'capabilities'> & { operations?: readonly Operation[] } = {},
): ModelEntry => ({ upstreamModel, operations: CHAT, capabilities, ...more });

const openAi = (upstreamModel: string, capabilities: readonly Capability[], maxOutputTokens: number): ModelEntry =>
  chat(upstreamModel, capabilities, { operations: OPENAI_CHAT, maxOutputTokens });

const other = (
  upstreamModel: string,
  operations: readonly Operation[],
  more: Partial<ModelEntry> = {},
): ModelEntry => ({
  upstreamModel,
  operations,
  ...more,
});

const voyage = (upstreamModel: string): ModelEntry => other(upstreamModel, ['embeddings'], { contextWindow: 32_000 });
const voyageRerank = (upstreamModel: string, input: string): ModelEntry => ({
  ...{ upstreamModel, operations: ['rerank'], contextWindow: 32_000 },
  vendorPrices: { source: 'https://docs.voyageai.com/docs/pricing', prices: { input } },
});

/** Vendors' own models. Sources: their pages on models, and their SDKs; prices stand in the generated list. */
export const MAKER_MODELS: readonly ModelList[] = [
  {
    provider: 'openai',
    listedBy: 'openai',
    models: [
      openAi('gpt-6-astra', SEARCHES, 128_000),
      openAi('gpt-6-sol', SEARCHES, 128_000),
      openAi('gpt-6-luna', SEARCHES, 128_000),
      openAi('gpt-5.6-sol', SEARCHES, 128_000),
      openAi('gpt-5.6-terra', SEARCHES, 128_000),
      openAi('gpt-5.6-luna', SEARCHES, 128_000),
      openAi('gpt-5.5', SEARCHES, 128_000),
      openAi('gpt-5.4', SEARCHES, 128_000),
      openAi('gpt-5.4-mini', SEARCHES, 128_000),
      openAi('gpt-5.4-nano', SEARCHES, 128_000),
      openAi('gpt-5.2', SEARCHES, 128_000),
      openAi('gpt-5.1', SEARCHES, 128_000),
      openAi('gpt-5', SEARCHES, 128_000),
      openAi('gpt-5-mini', SEARCHES, 128_000),
      openAi('gpt-5-nano', SEARCHES, 128_000),
      chat('gpt-5-pro', SEARCHES, { operations: ['responses', 'batches'], maxOutputTokens: 272_000 }),
      chat('gpt-5.3-codex', SEES_AND_THINKS, { operations: ['responses'], maxOutputTokens: 128_000 }),
      openAi('gpt-4.1', [...READS, 'web-search'], 32_768),
      openAi('gpt-4.1-mini', [...READS, 'web-search'], 32_768),
      openAi('gpt-4.1-nano', READS, 32_768),
      openAi('gpt-4o', [...READS, 'web-search'], 16_384),
      openAi('gpt-4o-mini', [...READS, 'web-search'], 16_384),
      openAi('o3', SEARCHES, 100_000),
      openAi('o4-mini', SEARCHES, 100_000),
      openAi('o3-mini', THINKS, 100_000),
      openAi('gpt-4-turbo', ['vision', 'tools'], 4096),
      openAi('gpt-3.5-turbo', ['tools'], 4096),
      other('gpt-3.5-turbo-instruct', ['completions'], { contextWindow: 4096, maxOutputTokens: 4096 }),
      chat('gpt-audio', ['tools', 'audio-input', 'audio-output'], { maxOutputTokens: 16_384 }),
      chat('gpt-audio-mini', ['tools', 'audio-input', 'audio-output'], { maxOutputTokens: 16_384 }),
      other('gpt-realtime', ['realtime'], {
        ...{ capabilities: ['vision', 'tools', 'audio-input', 'audio-output'], maxOutputTokens: 4096 },
      }),
      other('gpt-realtime-mini', ['realtime'], {
        ...{ capabilities: ['vision', 'tools', 'audio-input', 'audio-output'], maxOutputTokens: 4096 },
      }),
      other('gpt-4o-transcribe', ['transcriptions'], { capabilities: ['audio-input'], maxOutputTokens: 2000 }),
      other('gpt-4o-mini-transcribe', ['transcriptions'], { capabilities: ['audio-input'], maxOutputTokens: 2000 }),
      other('gpt-transcribe', ['transcriptions'], { capabilities: ['audio-input'] }),
      other('whisper-1', ['transcriptions', 'translations'], { capabilities: ['audio-input'] }),
      other('gpt-4o-mini-tts', ['speech'], { capabilities: ['audio-output'] }),
      other('gpt-image-2', ['images'], { capabilities: ['vision'] }),
      other('gpt-image-1.5', ['images'], { capabilities: ['vision'] }),
      other('gpt-image-1', ['images'], { capabilities: ['vision'] }),
      other('gpt-image-1-mini', ['images'], { capabilities: ['vision'] }),
      other('text-embedding-3-large', ['embeddings', 'batches']),
      other('text-embedding-3-small', ['embeddings', 'batches']),
      other('text-embedding-ada-002', ['embeddings', 'batches']),
      other('omni-moderation-latest', ['moderations'], {
        capabilities: ['vision'],
        vendorPrices: {
          source: 'https://platform.openai.com/docs/guides/moderation',
          prices: { input: '0', request: '0' },
        },
      }),
    ],
  },
  {
    provider: 'anthropic',
    listedBy: 'anthropic',
    models: [
      chat('claude-fable-5-1', SEARCHES, { maxOutputTokens: 128_000 }),
      chat('claude-fable-5', SEARCHES, { maxOutputTokens: 128_000 }),
      chat('claude-opus-5-5', SEARCHES, { maxOutputTokens: 128_000 }),
      chat('claude-opus-5', SEARCHES, { maxOutputTokens: 128_000 }),
      chat('claude-opus-4-8', SEARCHES, { maxOutputTokens: 128_000 }),
      chat('claude-opus-4-7', SEARCHES, { maxOutputTokens: 128_000 }),
      chat('claude-opus-4-6', SEARCHES, { maxOutputTokens: 128_000 }),
      chat('claude-opus-4-5', SEARCHES, { maxOutputTokens: 64_000 }),
      chat('claude-opus-4-1', SEARCHES, { maxOutputTokens: 32_000 }),
      chat('claude-sonnet-5', SEARCHES, { maxOutputTokens: 128_000 }),
      chat('claude-sonnet-4-6', SEARCHES, { maxOutputTokens: 64_000 }),
      chat('claude-sonnet-4-5', SEARCHES, { maxOutputTokens: 64_000 }),
      chat('claude-haiku-4-5', SEARCHES, { maxOutputTokens: 64_000 }),
    ],
  },
  {
    provider: 'gemini',
    listedBy: 'google',
    models: [
      chat('gemini-3.8-flash', HEARS, { maxOutputTokens: 65_536 }),
      chat('gemini-3.7-flash', HEARS, { maxOutputTokens: 65_536 }),
      chat('gemini-3.6-flash', HEARS, { maxOutputTokens: 65_536 }),
      chat('gemini-3.5-flash', HEARS, { maxOutputTokens: 65_536 }),
      chat('gemini-3.5-flash-lite', HEARS, { maxOutputTokens: 65_536 }),
      chat('gemini-3.1-pro-preview', HEARS, { contextWindow: 1_048_576, maxOutputTokens: 65_536 }),
      chat('gemini-3.1-flash-lite', HEARS, { maxOutputTokens: 65_536 }),
      chat('gemini-3-flash-preview', HEARS, { maxOutputTokens: 65_536 }),
      chat('gemini-2.5-pro', HEARS, { contextWindow: 1_048_576, maxOutputTokens: 65_536 }),
      chat('gemini-2.5-flash', HEARS, { maxOutputTokens: 65_536 }),
      chat('gemini-2.5-flash-lite', HEARS, { maxOutputTokens: 65_536 }),
      chat('gemini-2.0-flash', [...READS, 'audio-input'], { maxOutputTokens: 8192 }),
      chat('gemini-2.5-flash-preview-tts', ['audio-output'], { listedAs: 'gemini-2.5-flash-tts' }),
      chat('gemini-2.5-pro-preview-tts', ['audio-output'], { listedAs: 'gemini-2.5-pro-tts' }),
      other('gemini-embedding-2', ['embeddings'], { capabilities: ['vision', 'audio-input'] }),
      other('gemini-embedding-001', ['embeddings'], { contextWindow: 2048 }),
    ],
  },
  {
    provider: 'deepseek',
    listedBy: 'deepseek',
    models: [
      chat('deepseek-v4-pro', ['tools', 'reasoning'], { maxOutputTokens: 384_000 }),
      chat('deepseek-v4-flash', ['tools', 'reasoning'], { maxOutputTokens: 384_000 }),
    ],
  },
  {
    provider: 'mistral',
    listedBy: 'mistral',
    models: [
      chat('mistral-large-2512', SEES),
      chat('mistral-medium-latest', SEES_AND_THINKS, { contextWindow: 262_144 }),
      chat('mistral-small-2603', SEES_AND_THINKS),
      chat('ministral-14b-2512', SEES),
      chat('ministral-8b-2512', SEES),
      chat('ministral-3b-2512', SEES),
      chat('magistral-medium-latest', THINKS, { listedAs: 'magistral-medium', contextWindow: 128_000 }),
      chat('devstral-2512', TEXT),
      chat('codestral-2508', TEXT),
      other('voxtral-mini-2602', ['transcriptions'], { capabilities: ['audio-input'] }),
      other('mistral-embed', ['embeddings']),
    ],
  },
  {
    provider: 'cohere',
    listedBy: 'cohere',
    models: [
      chat('command-a-03-2025', TEXT, { listedAs: 'command-a', contextWindow: 256_000, maxOutputTokens: 8000 }),
      chat('command-r-plus-08-2024', TEXT, {
        listedAs: 'command-r-plus',
        contextWindow: 128_000,
        maxOutputTokens: 4000,
      }),
      chat('command-r-08-2024', TEXT, { listedAs: 'command-r', contextWindow: 128_000, maxOutputTokens: 4000 }),
      chat('command-r7b-12-2024', TEXT, { listedAs: 'command-r7b', contextWindow: 128_000, maxOutputTokens: 4000 }),
      other('embed-v4.0', ['embeddings']),
    ],
  },
  {
    provider: 'cohere-rerank',
    listedBy: 'cohere',
    models: [
      other('rerank-v3.5', ['rerank'], {
        contextWindow: 4096,
        vendorPrices: {
          source: 'https://cohere.com/pricing',
          prices: { request: '0.002' },
          uncovered: ['searches of a request beyond the first: it counts as one for each 100 documents'],
        },
      }),
    ],
  },
  {
    provider: 'xai',
    listedBy: 'x-ai',
    models: [
      chat('grok-4.6', SEES_AND_THINKS, { operations: CHAT_AND_RESPONSES }),
      chat('grok-4.5', SEES_AND_THINKS, { operations: CHAT_AND_RESPONSES }),
      chat('grok-4.3', SEES_AND_THINKS, { operations: CHAT_AND_RESPONSES }),
      chat('grok-4-1-fast-reasoning', SEES_AND_THINKS, { operations: CHAT_AND_RESPONSES }),
      chat('grok-4-1-fast-non-reasoning', SEES, { operations: CHAT_AND_RESPONSES }),
      chat('grok-4-0709', SEES_AND_THINKS, { operations: CHAT_AND_RESPONSES }),
      chat('grok-code-fast-1', THINKS, { operations: CHAT_AND_RESPONSES }),
      chat('grok-3', TEXT, { operations: CHAT_AND_RESPONSES }),
      chat('grok-3-mini', THINKS, { operations: CHAT_AND_RESPONSES }),
    ],
  },
  {
    provider: 'perplexity',
    listedBy: 'perplexity',
    models: [
      chat('sonar', ['vision', 'json-schema', 'web-search']),
      chat('sonar-pro', ['vision', 'json-schema', 'web-search'], { maxOutputTokens: 8000 }),
      chat('sonar-reasoning-pro', ['vision', 'json-schema', 'reasoning', 'web-search']),
    ],
  },
  {
    provider: 'moonshotai',
    listedBy: 'moonshotai',
    models: [
      chat('kimi-k3', SEES_AND_THINKS, { maxOutputTokens: 131_072 }),
      chat('kimi-k2.7-code', SEES_AND_THINKS),
      chat('kimi-k2.6', SEES_AND_THINKS),
      chat('kimi-k2.5', SEES_AND_THINKS),
    ],
  },
  {
    provider: 'minimax',
    listedBy: 'minimax',
    models: [
      chat('MiniMax-M3', ['vision', 'tools', 'reasoning'], { listedAs: 'minimax-m3' }),
      chat('MiniMax-M2.7', ['tools', 'reasoning'], { maxOutputTokens: 131_072 }),
      chat('MiniMax-M2.7-highspeed', ['tools', 'reasoning'], { maxOutputTokens: 131_072 }),
    ],
  },
  {
    provider: 'zai',
    listedBy: 'zai',
    models: [
      chat('glm-5.3', ['tools', 'reasoning'], { listedAs: 'GLM-5.3', maxOutputTokens: 131_072 }),
      chat('glm-5.3-flash', ['vision', 'tools', 'reasoning'], { listedAs: 'GLM-5.3-Flash', maxOutputTokens: 131_072 }),
      chat('glm-5.2', ['tools', 'reasoning'], { listedAs: 'GLM-5.2', maxOutputTokens: 131_072 }),
    ],
  },
  {
    provider: 'zhipuai',
    listedBy: 'zhipuai',
    models: (
      [
        ['glm-5.3', 'GLM-5.3'],
        ['glm-5.3-flash', 'GLM-5.3-Flash'],
        ['glm-4.7', 'GLM-4.7'],
        ['glm-4.5-air', 'GLM-4.5-Air'],
      ] as const
    ).map(([model, listedAs]) => chat(model, ['tools', 'reasoning'], { name: `zhipuai/${model}`, listedAs })),
  },
  {
    provider: 'voyageai',
    listedBy: 'voyageai',
    models: [
      voyage('voyage-4-large'),
      voyage('voyage-4'),
      voyage('voyage-4-lite'),
      voyage('voyage-code-3'),
      voyage('voyage-3.5'),
      voyage('voyage-3.5-lite'),
      voyageRerank('rerank-2.5', '0.05'),
      voyageRerank('rerank-2.5-lite', '0.02'),
    ],
  },
];
