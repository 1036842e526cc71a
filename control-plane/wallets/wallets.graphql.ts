import { Arg, Ctx, Int, Mutation, Query, Resolver } from 'type-graphql';
import { validate as isUuid } from 'uuid';
import { Refusal, refuse } from '../database/refusal.js';
import type { Scope } from '../database/transaction.js';
import { CurrentViewer, orThrow, TenantArgument, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { toMoney, toPayload } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { chooseScope, withinTenant } from '../identity/scope.js';
import {
  BookOnWalletPayload,
  CorrectChargeInput,
  CreditWalletInput,
  CreditWalletPayload,
  RefundCreditInput,
  SetLowBalanceInput,
  SetWalletTermsInput,
  toTerms,
  toTransaction,
  toWallet,
  toWalletCredit,
  transactionKindEnum,
  Wallet,
  WalletCredit,
  WalletTermsPayload,
  WalletTermsType,
  WalletTransactionConnection,
} from './wallet-types.graphql.js';
import type { WalletTransactionKind } from './wallet-transactions.js';
import type { Booked } from './wallets.js';

const toBooked = ({ transferId, amount, currency }: Booked) => ({
  transactionId: transferId,
  amount: toMoney(amount, currency),
});

/** The operator's policy has been checked; what is no id is nobody's. */
function tenantScope(viewer: Viewer, tenantId: string): Scope | Refusal {
  return isUuid(tenantId) ? withinTenant(viewer, tenantId) : refuse('not_found', ['tenantId']);
}

@Resolver()
export class WalletsResolver {
  @Policy('wallet:read')
  @Query(() => Wallet)
  async wallet(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('currency', () => String, { defaultValue: 'USD' }) currency: string,
    @TenantArgument() tenantId: string | null,
  ): Promise<Wallet> {
    const scope = orThrow(chooseScope(viewer, tenantId));
    return toWallet(orThrow(await services.ledger.balanceOf(scope, currency)));
  }

  @Policy('wallet:read')
  @Query(() => [Wallet], { description: 'Every currency that the tenant was credited or charged in.' })
  async wallets(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @TenantArgument() tenantId: string | null,
  ): Promise<Wallet[]> {
    return (await services.ledger.balances(orThrow(chooseScope(viewer, tenantId)))).map(toWallet);
  }

  @Policy('wallet:read')
  @Query(() => [WalletCredit], { description: 'What can still be spent, in the order in which it is.' })
  async walletCredits(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('currency', () => String, { defaultValue: 'USD' }) currency: string,
    @TenantArgument() tenantId: string | null,
  ): Promise<WalletCredit[]> {
    const scope = orThrow(chooseScope(viewer, tenantId));
    return orThrow(await services.wallets.credits(scope, currency)).map(toWalletCredit);
  }

  @Policy('wallet:read')
  @Query(() => WalletTermsType)
  async walletTerms(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('currency', () => String, { defaultValue: 'USD' }) currency: string,
    @TenantArgument() tenantId: string | null,
  ): Promise<WalletTermsType> {
    const scope = orThrow(chooseScope(viewer, tenantId));
    return toTerms(orThrow(await services.wallets.terms(scope, currency)));
  }

  @Policy('wallet:read')
  @Query(() => WalletTransactionConnection, { description: 'All that changed the balance, newest first.' })
  async walletTransactions(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('first', () => Int, { defaultValue: 50, description: 'At most 100.' }) first: number,
    @Arg('after', () => String, { nullable: true, description: 'The cursor to read on from.' }) after: string | null,
    @Arg('currency', () => String, { nullable: true }) currency: string | null,
    @Arg('kinds', () => [transactionKindEnum], { nullable: true }) kinds: WalletTransactionKind[] | null,
    @TenantArgument() tenantId: string | null,
  ): Promise<WalletTransactionConnection> {
    const scope = orThrow(chooseScope(viewer, tenantId));
    const page = orThrow(await services.wallets.transactions(scope, { first, after, currency, kinds }));
    const nodes = page.transactions.map(toTransaction);
    return { nodes, pageInfo: { hasNextPage: page.hasNextPage, endCursor: nodes.at(-1)?.id ?? null } };
  }

  @Policy('wallet:credit')
  @Mutation(() => CreditWalletPayload, { description: "Tops a tenant's wallet up by hand." })
  async creditWallet(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => CreditWalletInput) { tenantId, ...input }: CreditWalletInput,
  ): Promise<CreditWalletPayload> {
    const scope = withinTenant(viewer, tenantId);
    const transfer = await services.ledger.topUp(scope, input);
    if (transfer instanceof Refusal) return toPayload(transfer, () => ({}));
    const balance = await services.ledger.balanceOf(scope, input.currency);
    return toPayload(balance, (after) => ({ transferId: transfer.id, wallet: toWallet(after) }));
  }

  @Policy('wallet:credit')
  @Mutation(() => BookOnWalletPayload, { description: 'Books that received money was paid back.' })
  async refundCredit(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => RefundCreditInput) { tenantId, ...input }: RefundCreditInput,
  ): Promise<BookOnWalletPayload> {
    const scope = tenantScope(viewer, tenantId);
    return toPayload(scope instanceof Refusal ? scope : await services.wallets.refund(scope, input), toBooked);
  }

  @Policy('wallet:credit')
  @Mutation(() => BookOnWalletPayload, { description: 'Takes a charge back; the charge itself stays in the ledger.' })
  async correctCharge(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => CorrectChargeInput) { tenantId, transactionId, ...input }: CorrectChargeInput,
  ): Promise<BookOnWalletPayload> {
    const scope = tenantScope(viewer, tenantId);
    const correction = { ...input, transferId: transactionId };
    return toPayload(scope instanceof Refusal ? scope : await services.wallets.correct(scope, correction), toBooked);
  }

  @Policy('wallet:credit')
  @Mutation(() => WalletTermsPayload, { description: 'Whether a tenant pays before or after, and how far it may owe.' })
  async setWalletTerms(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => SetWalletTermsInput) { tenantId, ...input }: SetWalletTermsInput,
  ): Promise<WalletTermsPayload> {
    const scope = tenantScope(viewer, tenantId);
    const terms = scope instanceof Refusal ? scope : await services.wallets.setTerms(scope, input);
    return toPayload(terms, (done) => ({ terms: toTerms(done) }));
  }

  @Policy('wallet:configure')
  @Mutation(() => WalletTermsPayload, { description: 'When the owners are told that the balance runs low.' })
  async setLowBalance(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => SetLowBalanceInput) { tenantId, currency, amount }: SetLowBalanceInput,
  ): Promise<WalletTermsPayload> {
    const scope = chooseScope(viewer, tenantId);
    const warning = { currency, lowBalance: amount };
    const terms = scope instanceof Refusal ? scope : await services.wallets.setWarning(scope, warning);
    return toPayload(terms, (done) => ({ terms: toTerms(done) }));
  }
}
