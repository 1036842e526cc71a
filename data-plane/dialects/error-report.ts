/**
 * Whether a body, or the data of one event, reports an error: OpenAI's and Google's hold one, Anthropic's is one by its type,
 * and so is a response of OpenAI's that failed.
 * https://platform.openai.com/docs/api-reference/responses-streaming/response/failed
 */
export function isErrorReport(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { error, type } = value as { readonly error?: unknown; readonly type?: unknown };
  return (error !== undefined && error !== null) || type === 'error' || type === 'response.failed';
}
