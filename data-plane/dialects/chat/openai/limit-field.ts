/**
 * OpenAI's own models know one name for the limit, and those who took over the dialect the older one; a limit that is not
 * understood would be no limit, and more could be used than was reserved.
 */
export function limitField(upstreamModel: string): 'max_completion_tokens' | 'max_tokens' {
  return OWN_MODELS.test(upstreamModel) ? 'max_completion_tokens' : 'max_tokens';
}

/** Fine-tuned ones too; not the open-weight `gpt-oss`, which others serve. */
const OWN_MODELS = /^(?:ft:)?(?:gpt-(?!oss)|chatgpt-|o\d)/;
