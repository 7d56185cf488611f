// A batch: statements of which all take effect, or none does.

import { encodeBatchResponse, isMet, type StepResult } from "../../wire/batch_payload.ts";
import { SqpError } from "../../wire/errors.ts";
import type { PageResult } from "../../wire/response_payload.ts";
import type { BatchStatement } from "../engine.ts";
import type { SqliteConnection } from "./connection.ts";
import { HandOffError, type ResultPart, type Write } from "./running_statement.ts";
import { NO_HOOKS, runWriteGroup } from "./write_group.ts";

/** What a batch is run with. */
export interface BatchHost {
  /**
   * Runs a statement in the transaction that is open; its rows may take so many bytes. Throws {@linkcode SqpError} and
   * {@linkcode HandOffError}.
   */
  run(step: BatchStatement, bytesMax: number): PageResult;
  /** Bytes of the whole answer. */
  readonly bytesMax: number;
}

/** A batch that may write, as one write among others. */
export class BatchWrite implements Write {
  readonly kind = "running";
  readonly columns = undefined;
  readonly short = false;
  readonly connection: SqliteConnection;
  readonly #steps: readonly BatchStatement[];
  readonly #host: BatchHost;
  #outcome: Uint8Array | SqpError | undefined;

  constructor(connection: SqliteConnection, steps: readonly BatchStatement[], host: BatchHost) {
    this.connection = connection;
    this.#steps = steps;
    this.#host = host;
  }

  get isDone(): boolean {
    return this.#outcome !== undefined;
  }

  get failure(): SqpError | undefined {
    return this.#outcome instanceof SqpError ? this.#outcome : undefined;
  }

  next(): ResultPart {
    if (this.#outcome === undefined) runWriteGroup([this], NO_HOOKS);
    const payload = this.#outcome!;
    if (payload instanceof SqpError) throw payload;
    return { payload };
  }

  execute(): void {
    try {
      this.connection.savepoint();
      this.#outcome = runSteps(this.connection, this.#steps, this.#host);
      this.connection.release();
    } catch (error) {
      const exact = error instanceof HandOffError
        ? onlyReads(error.step)
        : this.connection.errorOf(error);
      this.connection.rollbackToSavepoint();
      this.fail(exact);
    }
  }

  fail(error: SqpError): void {
    this.#outcome = error;
  }

  close(): void {}
}

/**
 * Runs the steps of a batch in the transaction that is open. Throws {@linkcode SqpError}, the error of a step, and
 * {@linkcode HandOffError}.
 */
export function runSteps(
  connection: SqliteConnection,
  steps: readonly BatchStatement[],
  host: BatchHost,
): Uint8Array {
  const results: StepResult[] = [];
  let leftBytes = host.bytesMax;
  for (const [index, step] of steps.entries()) {
    const isWanted = step.conditions.every((condition) => isMet(condition, results));
    const result = isWanted ? runStep(connection, step, index, leftBytes, host) : null;
    results.push(result);
    if (result?.kind === "page") leftBytes -= result.page.length;
    if (leftBytes < 0) throw tooLarge(host.bytesMax);
  }
  const payload = encodeBatchResponse(results);
  if (payload.length > host.bytesMax) throw tooLarge(host.bytesMax);
  return payload;
}

function runStep(
  connection: SqliteConnection,
  step: BatchStatement,
  index: number,
  bytesMax: number,
  host: BatchHost,
): StepResult {
  // A statement that fails has undone itself, except INSERT OR FAIL.
  if (step.mayFail) connection.savepoint();
  try {
    const result = host.run(step, bytesMax);
    if (step.mayFail) connection.release();
    const columns = result.columns.map(({ name, declaredType }) => ({ name, declaredType }));
    return { kind: "page", ...result, columns };
  } catch (thrown) {
    if (thrown instanceof HandOffError) {
      thrown.step = index;
      throw thrown;
    }
    const exact = connection.errorOf(thrown);
    const error = { ...exact.toPayload(), step: index };
    if (!step.mayFail || !connection.inTransaction) throw new SqpError(error, { cause: exact });
    connection.rollbackToSavepoint();
    return { kind: "error", error };
  }
}

/** A batch that is not handed off belongs to a transaction of a client. */
function onlyReads(step: number): SqpError {
  return new SqpError("permission_denied", { message: "The transaction only reads.", step });
}

function tooLarge(bytesMax: number): SqpError {
  return new SqpError("result_too_large", {
    message: `The results of the batch are larger than ${bytesMax} bytes.`,
  });
}
