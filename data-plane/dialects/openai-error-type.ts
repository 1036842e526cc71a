/** The `type` of OpenAI's error objects, by HTTP status. https://platform.openai.com/docs/guides/error-codes */
export function openAiErrorType(status: number): string {
  if (status >= 500) return 'server_error';
  switch (status) {
    case 401:
      return 'authentication_error';
    case 403:
      return 'permission_error';
    case 429:
      return 'rate_limit_error';
    default:
      return 'invalid_request_error';
  }
}
