import type { LauncherEnvironment } from './environment.js';

export type RealProvider = 'openai' | 'anthropic' | 'gemini' | 'deepseek';

/** Keys of the providers that were named in the environment; each of them is seeded beside the simulator. */
export function realProviderKeys(environment: LauncherEnvironment): Partial<Record<RealProvider, string>> {
  const keys: Partial<Record<RealProvider, string>> = {};
  if (environment.OPENAI_API_KEY !== undefined) keys.openai = environment.OPENAI_API_KEY;
  if (environment.ANTHROPIC_API_KEY !== undefined) keys.anthropic = environment.ANTHROPIC_API_KEY;
  if (environment.GEMINI_API_KEY !== undefined) keys.gemini = environment.GEMINI_API_KEY;
  if (environment.DEEPSEEK_API_KEY !== undefined) keys.deepseek = environment.DEEPSEEK_API_KEY;
  return keys;
}
