import { sendJson } from '../http-error.js';
import { answerHeaders } from './answer-headers.js';
import { cleanErrorText } from './clean-error.js';
import { failUnusable, type Answer, type AnswerHead, type Recipient } from './answer.js';
import type { AnswerConversion, Translation } from './prepared-call.js';
import { AnswerTranslator, StreamTranslator } from './translate-answer.js';

/** An answer of one body in another dialect: its head waits for the body, whose length is known when it is translated. */
export class TranslatedBody implements Answer {
  readonly beforeErrorEvent = undefined;
  readonly #translator: AnswerTranslator;

  constructor(
    private readonly recipient: Recipient,
    private readonly head: AnswerHead,
    translation: Translation | AnswerConversion,
  ) {
    this.#translator = new AnswerTranslator(translation, recipient.meter.routed.model);
  }

  push(chunk: Buffer): void {
    if (!this.#translator.push(chunk)) failUnusable(this.recipient, 'the answer is too long to be translated');
  }

  end(): void {
    const answer = this.#translator.end();
    if (answer === undefined) {
      failUnusable(this.recipient, 'the answer is not one of the provider’s dialect');
      return;
    }
    const { meter } = this.recipient;
    const { status, headers } = this.head;
    meter.usageReported(answer.usage);
    meter.serviceTierReported(this.#translator.serviceTier);
    if (answer.usage === undefined) meter.passedOn(this.#translator.body());
    this.recipient.finish('completed', status, () => {
      sendJson(meter.routed, status, answer.json, answerHeaders({ ...headers, 'content-type': undefined }, 'metered'));
    });
  }

  giveUp(): void {
    this.recipient.meter.usageReported(this.#translator.usage());
  }
}

/** An answer of events in another dialect. */
export class TranslatedStream implements Answer {
  readonly beforeErrorEvent = '';
  readonly #translator: StreamTranslator;

  constructor(
    private readonly recipient: Recipient,
    private readonly head: AnswerHead,
    translation: Translation,
  ) {
    const { meter } = recipient;
    const { model, requestId } = meter.routed;
    this.#translator = new StreamTranslator(translation, {
      model,
      onUsage: (usage, ofPromptOnly) => {
        meter.usageReported(usage, ofPromptOnly);
      },
      onServiceTier: (tier) => {
        meter.serviceTierReported(tier);
      },
      cleanText: (text) => cleanErrorText(text, meter.attempt.secret),
    });
    recipient.beginStream(head.status, ['x-request-id', requestId, ...answerHeaders(head.headers, 'metered')]);
  }

  push(chunk: Buffer): void {
    let text: string;
    try {
      text = this.#translator.push(chunk);
    } catch (error) {
      failUnusable(this.recipient, `the stream cannot be translated: ${String(error)}`);
      return;
    }
    if (this.#translator.sawError) {
      this.recipient.meter.nothingDelivered();
      this.recipient.erred(this.#translator.errorData, () => {
        if (text !== '') this.recipient.write(text);
      });
      return;
    }
    this.recipient.meter.passedOn(chunk);
    if (text !== '') this.recipient.write(text);
  }

  end(): void {
    const last = this.#translator.end();
    if (last === undefined) {
      failUnusable(this.recipient, 'the provider broke off its stream');
      return;
    }
    const { response } = this.recipient.meter.routed;
    this.recipient.finish(this.#translator.sawError ? 'provider-failed' : 'completed', this.head.status, () => {
      response.end(last);
    });
  }

  giveUp(): void {
    // What was reported was reported as it passed.
  }
}
