// The transactions of a session, by the numbers that its client chose.

import { RangeSet } from "../base/range_set.ts";
import { SqpError } from "../wire/errors.ts";
import type { QueryLimits } from "./limits.ts";
import { SessionTransaction } from "./session_transaction.ts";

/** Reasons that are remembered of transactions that are over; of older ones only that they are. */
const REASONS_MAX = 64;

/** Open transactions, and which numbers were used. */
export class SessionTransactions {
  readonly #limits: QueryLimits;
  readonly #open = new Map<number, SessionTransaction>();
  readonly #over = new RangeSet();
  readonly #reasons = new Map<number, SqpError>();
  #largest = 0;

  constructor(limits: QueryLimits) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#open.size;
  }

  /**
   * The transaction of a number, which may have overtaken its `begin`. Throws {@linkcode SqpError}: the reason of its
   * end where it is over, `too_many_transactions`, and `bad_request` for a number that is too far ahead.
   */
  get(number: number): SessionTransaction {
    const open = this.#open.get(number);
    if (open !== undefined) return open;
    if (this.#over.has(number)) {
      throw this.#reasons.get(number) ?? new SqpError("unknown_transaction");
    }
    const { transactionsMax, transactionGapMax } = this.#limits;
    if (number > this.#largest + transactionGapMax || this.#over.rangeCount > transactionGapMax) {
      const message = `The transaction number ${number} leaves too large a gap.`;
      throw new SqpError("bad_request", { message });
    }
    if (this.#open.size >= transactionsMax) throw new SqpError("too_many_transactions");
    this.#largest = Math.max(this.#largest, number);
    const transaction = new SessionTransaction(this.#limits, (why) => this.#onOver(number, why));
    this.#open.set(number, transaction);
    return transaction;
  }

  #onOver(number: number, why: SqpError): void {
    this.#open.delete(number);
    this.#over.add(number);
    this.#reasons.set(number, why);
    if (this.#reasons.size <= REASONS_MAX) return;
    for (const oldest of this.#reasons.keys()) {
      this.#reasons.delete(oldest);
      break;
    }
  }

  /** Rolls back all of them. */
  abortAll(error: SqpError): void {
    for (const transaction of [...this.#open.values()]) transaction.abort(error);
  }
}
