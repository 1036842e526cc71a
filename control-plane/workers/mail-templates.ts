import { z } from 'zod';

export interface MailText {
  readonly subject: string;
  readonly text: string;
}

const verifyEmailVariables = z.object({ token: z.string().min(1) });

const priceChangeVariables = z.object({ models: z.array(z.string()).min(1), effectiveFrom: z.iso.datetime() });

/** The texts of mails, plain, one function a template. Each takes the mail's opened variables. */
export const MAIL_TEMPLATES = {
  'verify-email': (variables: unknown): MailText => {
    const { token } = verifyEmailVariables.parse(variables);
    return {
      subject: 'Confirm your e-mail address',
      text: [
        'Somebody, we hope you, has registered at PingToken with this e-mail address.',
        'To confirm that it is yours, enter this code within 24 hours:',
        token,
        'If it was not you, ignore this message; without the code the address stays unconfirmed.',
        '',
      ].join('\n\n'),
    };
  },
  'price-change': (variables: unknown): MailText => {
    const { models, effectiveFrom } = priceChangeVariables.parse(variables);
    return {
      subject: 'Prices will change',
      text: [
        `From ${effectiveFrom} on, calls of these models go by new prices:`,
        models.join('\n'),
        'Calls before that instant keep the prices of today. `priceQuote` tells what a call will cost at any instant.',
        '',
      ].join('\n\n'),
    };
  },
} as const satisfies Record<string, (variables: unknown) => MailText>;

export type MailTemplate = keyof typeof MAIL_TEMPLATES;
export const MAIL_TEMPLATE_NAMES = Object.keys(MAIL_TEMPLATES) as [MailTemplate, ...MailTemplate[]];
