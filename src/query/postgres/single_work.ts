// Work that has one answer, and no rows that are asked for.

import { SqpError } from "../../wire/errors.ts";
import type { Reply } from "../engine.ts";
import { fromPostgres } from "./postgres_errors.ts";
import { Work } from "./work.ts";

/** A batch, a description, a step of a transaction that has no rows. */
export class SingleWork<Outcome> extends Work {
  readonly isStalled = false;
  readonly activeAtMs = performance.now();
  readonly #reply: Reply<Outcome>;
  #answered = false;

  constructor(reply: Reply<Outcome>, deadlineMs: number | undefined) {
    super(deadlineMs);
    this.#reply = reply;
  }

  /** Answers with what came of it. */
  async answer(run: () => Promise<Outcome>): Promise<void> {
    let outcome: Outcome;
    try {
      outcome = await run();
    } catch (thrown) {
      return this.#fail(fromPostgres(thrown));
    }
    if (this.#answered) return;
    this.#answered = true;
    this.#reply.onEnd(outcome);
  }

  #fail(error: SqpError): void {
    if (this.#answered) return;
    this.#answered = true;
    const isDoubtful = error.codeName === "outcome_unknown" &&
      this.ending?.codeName === "cancelled";
    this.#reply.onError(isDoubtful ? error : this.ending ?? error);
  }
}
