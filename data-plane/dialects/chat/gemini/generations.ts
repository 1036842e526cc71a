/**
 * What Gemini takes differs by the generation of the model. A name that tells none, as `gemini-flash-latest` does, is that
 * of a current one.
 */
const BEFORE_3 = /gemini-[12]\b/;

/** Thinks by levels, keeps signatures of calls, takes media in results of functions, and tools beside a JSON answer. */
export function isGemini3(upstreamModel: string): boolean {
  return upstreamModel.includes('gemini') && !BEFORE_3.test(upstreamModel);
}

/** Whose thinking can be turned off. https://ai.google.dev/gemini-api/docs/thinking#set-budget */
export function canStopThinking(upstreamModel: string): boolean {
  return !isGemini3(upstreamModel) && !upstreamModel.includes('gemini-2.5-pro');
}
