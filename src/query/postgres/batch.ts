// A batch: statements one after the other, of which all take effect or none does.

import { encodeBatchResponse, isMet, type StepResult } from "../../wire/batch_payload.ts";
import { SqpError } from "../../wire/errors.ts";
import { LIMITS } from "../../wire/limits.ts";
import type { BatchStatement } from "../engine.ts";
import { collectStatement } from "./collected_statement.ts";
import type { PostgresConnection } from "./connection.ts";
import { type PostgresParameter, postgresParameters } from "./parameters.ts";
import { fromPostgres } from "./postgres_errors.ts";
import type { Role } from "./role.ts";
import type { Work } from "./work.ts";

/** A step whose parameters are decoded. */
export interface BoundStep extends BatchStatement {
  readonly parameters: readonly PostgresParameter[];
}

/** Decodes the parameters of all steps. Throws {@linkcode SqpError}, which names the step. */
export function bindSteps(steps: readonly BatchStatement[]): BoundStep[] {
  return steps.map((step, at) => {
    try {
      return { ...step, parameters: postgresParameters(step.params) };
    } catch (error) {
      throw ofStep(fromPostgres(error), at);
    }
  });
}

function ofStep(error: SqpError, step: number): SqpError {
  return new SqpError({ ...error.toPayload(), step }, { cause: error });
}

/** Runs the steps in the transaction that is open, and gives the Response. Throws {@linkcode SqpError}. */
export async function runSteps(
  connection: PostgresConnection,
  steps: readonly BoundStep[],
  { role, work }: { readonly role: Role; readonly work: Work },
): Promise<Uint8Array> {
  const results: StepResult[] = [];
  let bytesLeft = LIMITS.messageBytesMax;
  for (const [at, step] of steps.entries()) {
    if (!step.conditions.every((condition) => isMet(condition, results))) {
      results.push(null);
      continue;
    }
    if (work.ending !== undefined) throw work.ending;
    try {
      const run = () => collectStatement(connection, step, { ...role, bytesMax: bytesLeft });
      const result = step.mayFail
        ? await undoable(connection, run)
        : { kind: "page", ...await run() } as const;
      if (result.kind === "page") bytesLeft -= result.page.length;
      results.push(result);
    } catch (error) {
      throw ofStep(fromPostgres(error), at);
    }
  }
  if (work.ending !== undefined) throw work.ending;
  const payload = encodeBatchResponse(results);
  if (payload.length > LIMITS.messageBytesMax) throw new SqpError("result_too_large");
  return payload;
}

/** Runs a step whose error is its result, and undoes what it did then. */
async function undoable(
  connection: PostgresConnection,
  run: () => ReturnType<typeof collectStatement>,
): Promise<Exclude<StepResult, null>> {
  await connection.values("SAVEPOINT sqp_step");
  try {
    const result = await run();
    await connection.values("RELEASE SAVEPOINT sqp_step");
    return { kind: "page", ...result };
  } catch (thrown) {
    const error = fromPostgres(thrown);
    // Without a transaction there is nothing to go on in.
    if (!connection.isOpen || connection.transactionStatus === "idle") throw error;
    await connection.values("ROLLBACK TO SAVEPOINT sqp_step");
    await connection.values("RELEASE SAVEPOINT sqp_step");
    return { kind: "error", error: error.toPayload() };
  }
}
