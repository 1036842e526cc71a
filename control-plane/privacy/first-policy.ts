/**
 * The privacy policy that an installation begins with, so that a registration always has one to consent to. An operator
 * publishes its own, under a later version, with `publishPolicy`; this one says no more than what the software does.
 */
export const FIRST_POLICY = {
  version: '2026-11',
  title: 'Privacy policy',
  body: `
# Privacy policy

This policy says which personal data this platform handles, why, for how long, and what you may demand.

## 1. What we collect
- When you register: your name, your e-mail address, another way to reach you if you give one, and, for an enterprise, its name.
- When you sign in and when you call the gateway: your network address, device and browser, sealed to a key of your own at the
  place where they are received.
- When you call a model: which model, how many tokens, when, and what it cost. What you send and what you receive is passed on
  and is not stored.

## 2. Why
To provide the service and to bill it, to keep it secure, and to answer you. For nothing else, and never for advertising.

## 3. Consent
We store nothing of you before you have agreed to this policy. You may withdraw your consent; we then close your account.

## 4. Whom we pass data to
A model provider receives a call of yours only after you were shown its terms and its privacy policy and have granted its use.
It receives the content of the call and what the call needs, and neither your address, nor your device, nor who you are.

## 5. How long, and how it is protected
Your name, addresses and devices are encrypted under a key that belongs to you alone and is kept apart from them. When it is
destroyed they cannot be read any more, in no copy. Records of billing are kept under a pseudonym as long as the law demands.

## 6. Your rights
You may see what we hold of you, have it corrected, have it deleted, take it with you, and withdraw your consent.

## 7. Changes
A change of this policy is a new version, which you are asked to agree to. Versions that were in force stay readable.
`.trim(),
} as const;
