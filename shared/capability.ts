/** What a model can do beyond text in, text out. */
export const CAPABILITIES = [
  'vision',
  'tools',
  'json-schema',
  'reasoning',
  'audio-input',
  'audio-output',
  'pdf',
  'web-search',
] as const;
export type Capability = (typeof CAPABILITIES)[number];
