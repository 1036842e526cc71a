import type { Capability } from '@pingtoken/shared/config-snapshot';
import type { ModelEntry, ModelList } from './entries.js';

const TOOLS: readonly Capability[] = ['tools'];
const TEXT: readonly Capability[] = ['tools', 'json-schema'];
const THINKS: readonly Capability[] = [...TEXT, 'reasoning'];
const SEES: readonly Capability[] = ['vision', ...TEXT];
const SEES_AND_THINKS: readonly Capability[] = ['vision', ...THINKS];

type More = Omit<ModelEntry, 'upstreamModel' | 'operations' | 'capabilities'>;

/** Several hosts serve the same models, so that the alias begins with the host's slug. */
function listOf(provider: string, listedBy: string, models: readonly ModelEntry[]): ModelList {
  const named = models.map((model) => ({ ...model, name: `${provider}/${model.name ?? model.upstreamModel}` }));
  return { provider, listedBy, models: named };
}

const chat = (upstreamModel: string, capabilities: readonly Capability[], more: More = {}): ModelEntry => ({
  ...{ upstreamModel, operations: ['chat-completions'], capabilities },
  ...more,
});

const embedding = (upstreamModel: string, more: More = {}): ModelEntry => ({
  ...{ upstreamModel, operations: ['embeddings'] },
  ...more,
});

const fireworks = (model: string, capabilities: readonly Capability[], more: More = {}): ModelEntry =>
  chat(`accounts/fireworks/models/${model}`, capabilities, { name: model, listedAs: model, ...more });

/** The router takes the provider behind it as a suffix; each has its own prices. */
const huggingFace = (model: string, behind: string, capabilities: readonly Capability[]): ModelEntry =>
  chat(`${model}:${behind}`, capabilities, { listedAs: model, listedBy: `huggingface_${behind}` });

const cloudflare = (model: string, capabilities: readonly Capability[], more: More = {}): ModelEntry =>
  chat(`@cf/${model}`, capabilities, { name: model, ...more });

/** Models of others, at their hosts. Sources: the hosts' pages on models; prices stand in the generated list. */
export const HOST_MODELS: readonly ModelList[] = [
  listOf('groq', 'groq', [
    chat('openai/gpt-oss-120b', THINKS, { maxOutputTokens: 65_536 }),
    chat('openai/gpt-oss-20b', THINKS, { maxOutputTokens: 65_536 }),
    chat('llama-3.3-70b-versatile', TOOLS, { contextWindow: 131_072, maxOutputTokens: 32_768 }),
    chat('llama-3.1-8b-instant', TOOLS, { contextWindow: 131_072, maxOutputTokens: 131_072 }),
    chat('meta-llama/llama-4-maverick-17b-128e-instruct', SEES, { maxOutputTokens: 8192 }),
    chat('meta-llama/llama-4-scout-17b-16e-instruct', SEES, { contextWindow: 131_072, maxOutputTokens: 8192 }),
    chat('moonshotai/kimi-k2-instruct', TEXT, { maxOutputTokens: 16_384 }),
    chat('qwen/qwen3-32b', ['tools', 'reasoning'], { maxOutputTokens: 40_960 }),
  ]),
  listOf('together', 'together', [
    chat('meta-llama/Llama-3.3-70B-Instruct-Turbo', TEXT, { contextWindow: 131_072 }),
    chat('meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8', SEES),
    chat('meta-llama/Llama-4-Scout-17B-16E-Instruct', SEES),
  ]),
  listOf('fireworks', 'fireworks', [
    fireworks('kimi-k3', SEES_AND_THINKS, { maxOutputTokens: 131_072 }),
    fireworks('kimi-k2p6', SEES_AND_THINKS, { contextWindow: 262_144 }),
    fireworks('glm-5p2', THINKS, { maxOutputTokens: 131_072 }),
    fireworks('deepseek-v4-pro', THINKS),
    fireworks('deepseek-v4-flash', THINKS),
    fireworks('gpt-oss-120b', THINKS),
    fireworks('gpt-oss-20b', THINKS),
    fireworks('minimax-m3', SEES_AND_THINKS, { maxOutputTokens: 131_072 }),
    fireworks('qwen3p7-plus', SEES_AND_THINKS),
  ]),
  listOf('cerebras', 'cerebras', [
    chat('gpt-oss-120b', THINKS, { maxOutputTokens: 40_960 }),
    chat('gemma-4-31b', SEES_AND_THINKS, { maxOutputTokens: 40_960 }),
  ]),
  listOf('baseten', 'baseten', [
    chat('moonshotai/Kimi-K3', SEES_AND_THINKS),
    chat('zai-org/GLM-5.3', THINKS),
    chat('deepseek-ai/DeepSeek-V4-Pro-0813', THINKS),
    chat('openai/gpt-oss-120b', THINKS),
  ]),
  listOf('novita', 'novita', [
    chat('deepseek/deepseek-r1', ['reasoning']),
    chat('meta-llama/llama-3.3-70b-instruct', TOOLS),
    chat('meta-llama/llama-3.1-8b-instruct', []),
  ]),
  listOf('ovhcloud', 'ovhcloud', [
    chat('gpt-oss-120b', THINKS),
    chat('gpt-oss-20b', THINKS),
    chat('Meta-Llama-3_3-70B-Instruct', TEXT),
    chat('Mistral-Small-3.2-24B-Instruct-2506', SEES),
    chat('Qwen3-Coder-30B-A3B-Instruct', TEXT),
    chat('Qwen2.5-VL-72B-Instruct', ['vision', 'json-schema']),
    embedding('bge-m3'),
    embedding('bge-multilingual-gemma2'),
    embedding('bge-base-en-v1.5'),
  ]),
  listOf('openrouter', 'openrouter', [
    chat('anthropic/claude-opus-5', SEES_AND_THINKS),
    chat('openai/gpt-5', SEES_AND_THINKS, { maxOutputTokens: 128_000 }),
    chat('openai/gpt-4o', SEES, { maxOutputTokens: 16_384 }),
    chat('mistralai/mistral-large-2512', SEES),
    chat('qwen/qwen3-235b-a22b', THINKS),
    chat('qwen/qwen3-max', TEXT),
    chat('deepseek/deepseek-v3.2', THINKS, { contextWindow: 163_840 }),
    chat('z-ai/glm-4.6', THINKS),
    chat('meta-llama/llama-3.3-70b-instruct', TEXT, { contextWindow: 131_072 }),
  ]),
  listOf('huggingface', 'huggingface_nscale', [
    huggingFace('openai/gpt-oss-120b', 'nscale', THINKS),
    huggingFace('Qwen/Qwen3-32B', 'nscale', ['tools', 'reasoning']),
    huggingFace('meta-llama/Llama-3.3-70B-Instruct', 'ovhcloud', TOOLS),
    huggingFace('zai-org/GLM-5', 'novita', ['tools', 'reasoning']),
    huggingFace('moonshotai/Kimi-K2.5', 'novita', ['vision', 'tools', 'reasoning']),
    huggingFace('google/gemma-3-27b-it', 'nebius', ['vision']),
    huggingFace('swiss-ai/Apertus-70B-Instruct-2509', 'publicai', []),
  ]),
  listOf('azure', 'azure', [
    chat('o3', SEES_AND_THINKS, { listedAs: 'o3-2025-04-16', maxOutputTokens: 100_000 }),
    chat('o4-mini', SEES_AND_THINKS, { maxOutputTokens: 100_000 }),
    chat('o3-mini', THINKS, { maxOutputTokens: 100_000 }),
    embedding('text-embedding-3-large'),
    embedding('text-embedding-3-small'),
  ]),
  listOf('cloudflare', 'cloudflare', [
    cloudflare('openai/gpt-oss-120b', ['tools', 'reasoning']),
    cloudflare('openai/gpt-oss-20b', ['tools', 'reasoning']),
    cloudflare('meta/llama-3.3-70b-instruct-fp8-fast', TOOLS),
    cloudflare('meta/llama-4-scout-17b-16e-instruct', ['vision', 'tools']),
    embedding('@cf/baai/bge-m3', { name: 'baai/bge-m3' }),
    embedding('@cf/baai/bge-large-en-v1.5', { name: 'baai/bge-large-en-v1.5' }),
  ]),
  listOf('aws-bedrock', 'aws', [
    chat('openai.gpt-oss-120b-1:0', ['tools', 'reasoning']),
    chat('openai.gpt-oss-20b-1:0', ['tools', 'reasoning']),
  ]),
  listOf('avian', 'avian', [
    chat('deepseek/deepseek-v4-pro', ['tools', 'reasoning']),
    chat('z-ai/glm-5.2', ['tools', 'reasoning']),
    chat('moonshotai/kimi-k2.6', ['vision', 'tools', 'reasoning']),
  ]),
];
