import { z } from 'zod';

export interface MailText {
  readonly subject: string;
  readonly text: string;
}

const verifyEmailVariables = z.object({ token: z.string().min(1) });

const priceChangeVariables = z.object({ models: z.array(z.string()).min(1), effectiveFrom: z.iso.datetime() });

const lowBalanceVariables = z.object({ currency: z.string(), balance: z.string() });

const budgetThresholdVariables = z.object({
  name: z.string(),
  percent: z.int(),
  amount: z.string(),
  currency: z.string(),
  isHard: z.boolean(),
  /** What the spending is of, such as `the month from 2026-11-01 (UTC)`. */
  period: z.string(),
});

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
  'low-balance': (variables: unknown): MailText => {
    const { currency, balance } = lowBalanceVariables.parse(variables);
    return {
      subject: 'Your balance is low',
      text: [
        `Your balance has fallen to ${balance} ${currency}.`,
        'Calls that it does not cover are refused. You are told again after it has risen and fallen once more.',
        '',
      ].join('\n\n'),
    };
  },
  'budget-threshold': (variables: unknown): MailText => {
    const { name, percent, amount, currency, isHard, period } = budgetThresholdVariables.parse(variables);
    return {
      subject: `${percent}% of a budget is spent`,
      text: [
        `Of the budget "${name}", ${amount} ${currency}, ${percent}% is spent in ${period}.`,
        isHard ? 'Calls that would exceed it are refused.' : 'It refuses nothing: calls go on.',
        '',
      ].join('\n\n'),
    };
  },
} as const satisfies Record<string, (variables: unknown) => MailText>;

export type MailTemplate = keyof typeof MAIL_TEMPLATES;
export const MAIL_TEMPLATE_NAMES = Object.keys(MAIL_TEMPLATES) as [MailTemplate, ...MailTemplate[]];
