/** What a model lets its caller say, where the models of the one API differ. */
export interface ModelTraits {
  /**
   * How it is told to think: by a budget of tokens, or by itself under an effort. Each refuses the other's way.
   * https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking
   */
  readonly thinking: 'none' | 'budget' | 'adaptive';
  /**
   * How many of temperature and top_p it takes at once; where none, top_k neither.
   * https://platform.claude.com/docs/en/about-claude/models/migration-guide
   */
  readonly samplers: 'none' | 'one' | 'all';
}

const VERSION = /claude-(?:[a-z]+-)*?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)/;

/**
 * Known from the name, for the API has no way to ask in mid-call. The cuts are by version, so that a model to come falls with
 * the newest; what is no Claude at all speaks the API as most of its imitations do, in its older form.
 */
export function traitsOfModel(name: string): ModelTraits {
  if (!name.includes('claude')) return { thinking: 'budget', samplers: 'all' };
  const match = VERSION.exec(name);
  if (match === null) return { thinking: 'adaptive', samplers: 'none' };
  const version = Number(match[1]) * 100 + Number(match[2] ?? 0);
  return { thinking: thinkingOf(version), samplers: samplersOf(version) };
}

function thinkingOf(version: number): ModelTraits['thinking'] {
  if (version < 307) return 'none';
  return version < 406 ? 'budget' : 'adaptive';
}

function samplersOf(version: number): ModelTraits['samplers'] {
  if (version < 401) return 'all';
  return version < 407 ? 'one' : 'none';
}
