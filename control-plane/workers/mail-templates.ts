import { z } from 'zod';

export interface MailText {
  readonly subject: string;
  readonly text: string;
}

const verifyEmailVariables = z.object({ token: z.string().min(1) });

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
} as const satisfies Record<string, (variables: unknown) => MailText>;

export type MailTemplate = keyof typeof MAIL_TEMPLATES;
export const MAIL_TEMPLATE_NAMES = Object.keys(MAIL_TEMPLATES) as [MailTemplate, ...MailTemplate[]];
