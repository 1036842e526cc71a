/** What a route may always spend: it is filled up by time too, for a quiet route has no share worth the name. */
const RESERVE = 50;
const RESERVE_PER_SECOND = 1;
/** What a busy route can save up, so that the calls on their way to a target that dies can all go elsewhere. */
const MAX_SAVED = 1_000;
const MAX_ROUTES = 10_000;

/**
 * How many attempts beyond the first a route may make: a share of its calls, so that trying again never multiplies the load on
 * providers that are already failing. In any stretch of time there are at most `share` × calls + 1 a second + 1,000.
 */
export class RetryBudgets {
  readonly #budgets = new Map<string, Budget>();

  constructor(private readonly clock: () => number) {}

  /** A call of the route begins. */
  deposit(routeId: string, share: number): void {
    const budget = this.#budgetOf(routeId);
    budget.balance = Math.min(budget.balance + share, MAX_SAVED);
  }

  /** @returns whether one more attempt may be made; it is paid for then */
  withdraw(routeId: string): boolean {
    const budget = this.#budgetOf(routeId);
    if (budget.balance < 1) return false;
    budget.balance -= 1;
    return true;
  }

  #budgetOf(routeId: string): Budget {
    const now = this.clock();
    let budget = this.#budgets.get(routeId);
    if (budget === undefined) {
      // A route that is forgotten has its reserve again, and no more than it.
      if (this.#budgets.size >= MAX_ROUTES) this.#budgets.clear();
      budget = { balance: RESERVE, filledAt: now };
      this.#budgets.set(routeId, budget);
    }
    const earned = (Math.max(0, now - budget.filledAt) / 1000) * RESERVE_PER_SECOND;
    if (budget.balance < RESERVE) budget.balance = Math.min(RESERVE, budget.balance + earned);
    budget.filledAt = now;
    return budget;
  }
}

interface Budget {
  balance: number;
  filledAt: number;
}
