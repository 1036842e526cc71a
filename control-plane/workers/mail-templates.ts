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

const credentialParkedVariables = z.object({
  credentialId: z.string(),
  credential: z.string(),
  provider: z.string(),
  status: z.int().nullable(),
  since: z.iso.datetime(),
  /** Whose it is, seen from who reads this: the operator's own, which serves everyone; a tenant's; the reader's. */
  whose: z.enum(['everyone', 'tenant', 'own']),
});

const WHOSE = {
  everyone: "The credential is the operator's and serves every tenant.",
  tenant: 'The credential is a tenant’s own, and its owners were told as well.',
  own: 'The credential is your own.',
};

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
  'credential-parked': (variables: unknown): MailText => {
    const { credentialId, credential, provider, status, since, whose } = credentialParkedVariables.parse(variables);
    const said = status === null ? 'refuses it' : `refuses it with status ${status}`;
    return {
      subject: `${provider} refuses a credential`,
      text: [
        `Since ${since} the credential "${credential}" (${credentialId}) is not used: ${provider} ${said}.`,
        WHOSE[whose],
        'Calls go by other ways where there are any. From time to time one call is tried with it, and it is used again when ' +
          'that goes well.',
        'Where the account at the provider is in order again, `resumeCredential` puts it back to use at once; ' +
          '`replaceCredentialSecret` gives it another secret.',
        '',
      ].join('\n\n'),
    };
  },
} as const satisfies Record<string, (variables: unknown) => MailText>;

export type MailTemplate = keyof typeof MAIL_TEMPLATES;
export const MAIL_TEMPLATE_NAMES = Object.keys(MAIL_TEMPLATES) as [MailTemplate, ...MailTemplate[]];
