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

/** Steps that are sent without waiting for the answers to those before. */
const STEPS_AT_ONCE = 64;

/** Runs the steps in the transaction that is open, and gives the Response. Throws {@linkcode SqpError}. */
export async function runSteps(
  connection: PostgresConnection,
  steps: readonly BoundStep[],
  { role, work }: { readonly role: Role; readonly work: Work },
): Promise<Uint8Array> {
  const repeated = repeatedTexts(steps);
  const run = (step: BoundStep) =>
    collectStatement(connection, { ...step, isRepeated: repeated.has(step.sql) }, {
      ...role,
      bytesMax: LIMITS.messageBytesMax,
    });
  const results: StepResult[] = [];
  let resultBytes = 0;
  while (results.length < steps.length) {
    const from = results.length;
    const step = steps[from]!;
    if (work.ending !== undefined) throw work.ending;
    if (!step.conditions.every((condition) => isMet(condition, results))) results.push(null);
    else if (step.mayFail) {
      results.push(await undoable(connection, () => run(step)).catch((error) => fail(error, from)));
    } else {
      const together = steps.slice(from, from + Math.max(1, plainCount(steps, from, role)));
      const settled = await Promise.allSettled(together.map(run));
      // What comes behind a failure fails as well, because of it.
      const failed = settled.findIndex(({ status }) => status === "rejected");
      if (failed >= 0) fail((settled[failed] as PromiseRejectedResult).reason, from + failed);
      for (const one of settled) {
        if (one.status === "fulfilled") results.push({ kind: "page", ...one.value.result });
      }
    }
    for (const result of results.slice(from)) {
      if (result?.kind === "page") resultBytes += result.page.length;
    }
    if (resultBytes > LIMITS.messageBytesMax) throw new SqpError("result_too_large");
  }
  if (work.ending !== undefined) throw work.ending;
  const payload = encodeBatchResponse(results);
  if (payload.length > LIMITS.messageBytesMax) throw new SqpError("result_too_large");
  return payload;
}

function fail(error: unknown, step: number): never {
  throw ofStep(fromPostgres(error), step);
}

/** How many steps from one on depend on nothing, are undone with the batch alone, and are sent without a question. */
function plainCount(steps: readonly BoundStep[], from: number, { runner }: Role): number {
  let count = 0;
  while (count < STEPS_AT_ONCE && from + count < steps.length) {
    const step = steps[from + count]!;
    if (step.conditions.length > 0 || step.mayFail || runner.asksFirst(step)) break;
    count++;
  }
  return count;
}

function repeatedTexts(steps: readonly BoundStep[]): Set<string> {
  const seen = new Set<string>();
  const repeated = new Set<string>();
  for (const { sql } of steps) {
    if (seen.has(sql)) repeated.add(sql);
    seen.add(sql);
  }
  return repeated;
}

/** Runs a step whose error is its result, and undoes what it did then. */
async function undoable(
  connection: PostgresConnection,
  run: () => ReturnType<typeof collectStatement>,
): Promise<Exclude<StepResult, null>> {
  await connection.values("SAVEPOINT sqp_step");
  try {
    const { result } = await run();
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
