import { gapsOf, STORED } from './gap.js';

const said = (...parts: object[]) => ({ contents: [{ role: 'user', parts: [{ text: 'Hi' }, ...parts] }] });
const config = (fields: object) => ({ generationConfig: fields });
const data = (mimeType: string) => said({ inlineData: { mimeType, data: 'NDcxMQ==' } });
const functions = { functionDeclarations: [{ name: 'look_up' }] };
const afterCall = {
  tools: [functions],
  contents: [
    { role: 'user', parts: [{ text: 'Hi' }] },
    { role: 'model', parts: [{ functionCall: { name: 'look_up', args: {} } }] },
    {
      role: 'user',
      parts: [
        {
          functionResponse: {
            name: 'look_up',
            response: { output: 'see' },
            parts: [{ inlineData: { mimeType: 'image/png', data: 'NDcxMQ==' } }],
          },
        },
      ],
    },
  ],
};

/** https://ai.google.dev/api/generate-content */
export const GEMINI_GAPS = gapsOf('gemini', [
  [['openai'], 'generationConfig.topK', 'any', 'no such parameter', config({ topK: 7 }), /top_?k/i],
  [
    ['openai'],
    'generationConfig.stopSequences',
    'more than 4',
    'takes 4',
    config({ stopSequences: ['1', '2', '3', '4', 'fifth'] }),
    /fifth/,
  ],
  [
    ['anthropic'],
    'generationConfig.frequencyPenalty',
    'not 0',
    'no such parameter',
    config({ frequencyPenalty: 1.5 }),
    /penalty/i,
  ],
  [
    ['anthropic'],
    'generationConfig.presencePenalty',
    'not 0',
    'no such parameter',
    config({ presencePenalty: 1.5 }),
    /penalty/i,
  ],
  [['anthropic'], 'generationConfig.seed', 'any', 'no such parameter', config({ seed: 4711 }), /4711/],
  [
    ['anthropic'],
    'generationConfig.candidateCount',
    'more than 1',
    'one answer a call',
    config({ candidateCount: 3 }),
    /count/i,
  ],
  [
    ['anthropic'],
    'generationConfig.responseLogprobs',
    'true',
    'gives none',
    config({ responseLogprobs: true }),
    /logprobs/i,
  ],
  [
    ['anthropic'],
    'generationConfig.responseMimeType',
    'application/json, without a schema',
    'JSON with a schema only',
    config({ responseMimeType: 'application/json' }),
    /json/,
  ],
  [['anthropic'], 'generationConfig.temperature', 'above 1', 'goes up to 1', config({ temperature: 1.75 }), /1\.75/],
  [
    ['anthropic'],
    'generationConfig.mediaResolution',
    'low',
    'no such parameter',
    { ...data('image/png'), ...config({ mediaResolution: 'MEDIA_RESOLUTION_LOW' }) },
    /resolution/i,
  ],
  [['anthropic'], 'serviceTier', 'flex or priority', 'no such tier', { serviceTier: 'flex' }, /flex/],
  [['openai'], 'contents.parts.inlineData', 'a film', 'sees none', data('video/mp4'), /NDcxMQ/],
  [['anthropic'], 'contents.parts.inlineData', 'a film or a sound', 'sees and hears none', data('audio/wav'), /NDcxMQ/],
  [
    ['openai'],
    'contents.parts.fileData',
    'no image',
    'fetches images only',
    said({ fileData: { fileUri: 'https://papers.example/4711.pdf', mimeType: 'application/pdf' } }),
    /4711/,
  ],
  [
    ['anthropic'],
    'contents.parts.fileData',
    'http',
    'fetches https only',
    said({ fileData: { fileUri: 'http://pictures.example/4711.png', mimeType: 'image/png' } }),
    /4711/,
  ],
  [['openai'], 'contents.parts.functionResponse.parts', 'any', 'results of tools are text', afterCall, /NDcxMQ/],
  [
    'others',
    'contents[N].parts[N].fileData',
    STORED,
    'the file lies with Google',
    said({ fileData: { fileUri: 'gs://bucket/4711' } }),
    /4711/,
  ],
  [
    'others',
    'contents[N].parts[N].videoMetadata',
    'any',
    'no films elsewhere',
    { contents: [{ role: 'user', parts: [{ text: 'Hi', videoMetadata: { fps: 4711 } }] }] },
    /4711/,
  ],
  [
    'others',
    'safetySettings',
    'any that filters',
    'a filter that Google runs',
    { safetySettings: [{ category: 'HARM_CATEGORY_HARASSMENT', threshold: 'BLOCK_LOW_AND_ABOVE' }] },
    /HARM/,
  ],
  ['others', 'cachedContent', STORED, 'it lies with Google', { cachedContent: 'cachedContents/4711' }, /4711/],
  ['others', 'store', 'true', 'answers are stored at Google', { store: true }, /store/],
  [
    'others',
    'tools[N].googleSearch',
    'any tool that Google runs',
    'nobody else has it',
    { tools: [functions, { googleSearch: {} }] },
    /search/i,
  ],
  [
    'others',
    'generationConfig.speechConfig',
    'any',
    'spoken answers are Google’s',
    config({ speechConfig: { languageCode: 'de-DE' } }),
    /de-DE/,
  ],
  [
    'others',
    'generationConfig.responseModalities',
    'other than text',
    'pictures and sounds are Google’s',
    config({ responseModalities: ['TEXT', 'IMAGE'] }),
    /IMAGE/,
  ],
  [
    'others',
    'generationConfig.mediaResolution',
    'medium',
    'low and high only',
    config({ mediaResolution: 'MEDIA_RESOLUTION_MEDIUM' }),
    /MEDIUM/,
  ],
  [
    'others',
    'generationConfig.responseMimeType',
    'neither text nor JSON',
    'a format of Google’s',
    config({ responseMimeType: 'text/x.enum', responseSchema: { type: 'STRING', enum: ['a4711'] } }),
    /4711/,
  ],
]);
