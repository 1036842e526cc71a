import { DIMENSIONS, type Dimension } from '@pingtoken/shared/rate-card';

/** The column of each dimension in `usage_by_hour` and `usage_by_day`. */
export const COUNT_COLUMNS: Readonly<Record<Dimension, string>> = {
  input: 'input',
  output: 'output',
  cacheRead: 'cache_read',
  cacheWrite5m: 'cache_write_5m',
  cacheWrite1h: 'cache_write_1h',
  reasoning: 'reasoning',
  audioInput: 'audio_input',
  audioOutput: 'audio_output',
  imageInput: 'image_input',
  imageOutput: 'image_output',
  image: 'image',
  request: 'request',
  webSearch: 'web_search',
  audioSeconds: 'audio_seconds',
  characters: 'characters',
};

/** What a rollup adds up, in the order of its columns. */
export const SUM_COLUMNS: readonly string[] = [
  ...['calls', 'failures', 'amount', 'excess', 'cost', 'free_tokens'],
  ...DIMENSIONS.map((dimension) => COUNT_COLUMNS[dimension]),
];

/** What a row's series names, beside its tenant. */
export const SERIES_COLUMNS = [
  'api_key_id',
  'member_id',
  'model',
  'provider_id',
  'region',
  'tags',
  'currency',
] as const;
