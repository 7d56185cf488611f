// A session of an engine, asked like functions.

import type {
  Engine,
  EngineSession,
  EngineTransaction,
  Permission,
  Reply,
  StatementScope,
} from "../../src/query/engine.ts";
import {
  type BatchStep,
  decodeBatchResponse,
  type StepResult,
} from "../../src/wire/batch_payload.ts";
import { SqpError } from "../../src/wire/errors.ts";
import { encodeParams } from "../../src/wire/params.ts";
import type { BeginCommand } from "../../src/query/engine.ts";
import type { StatementDescription } from "../../src/wire/response_payload.ts";
import { decodeRowPage } from "../../src/wire/row_page.ts";
import type { Row, SqlParams } from "../../src/wire/value.ts";
import { ALL, askIn, type AskOptions, type Result } from "./query_harness.ts";

/** A step of a batch as a test writes it. */
export interface AskedStep extends Partial<Pick<BatchStep, "conditions" | "mayFail">> {
  readonly sql: string;
  readonly params?: SqlParams;
}

/** What became of a step: its rows and changes, the name of its error, or nothing. */
export type AskedResult = { readonly rows: Row[]; readonly changes: number } | string | null;

/** A promise of what a command answers. */
function promised<Outcome>(start: (reply: Reply<Outcome>) => void): Promise<Outcome> {
  const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
  start({ onEnd: resolve, onError: reject });
  // A test may look at it later.
  promise.catch(() => {});
  return promise;
}

/** The name of the error that a promise is rejected with, `undefined` where it is not. */
export async function errorName(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    if (error instanceof SqpError) return error.codeName;
    throw error;
  }
}

/** Commands of a session or of a transaction. */
export class AskedScope<Scope extends StatementScope> {
  readonly scope: Scope;

  constructor(scope: Scope) {
    this.scope = scope;
  }

  execute(sql: string, options: AskOptions = {}): Promise<Result> {
    const result = askIn(this.scope, sql, options);
    result.catch(() => {});
    return result;
  }

  /** The rows of a query. */
  async rows(sql: string, params: SqlParams = []): Promise<Row[]> {
    return (await this.execute(sql, { params })).rows;
  }

  async batch(
    steps: readonly AskedStep[],
    options: { readonly idempotencyKey?: string; readonly deadlineMs?: number } = {},
  ): Promise<AskedResult[]> {
    const command = {
      steps: steps.map(({ sql, params = [], conditions = [], mayFail = false }) => ({
        ...{ sql, params: encodeParams(params), conditions, mayFail },
      })),
      ...options,
    };
    const { payload } = await promised<{ payload: Uint8Array }>((reply) =>
      void this.scope.batch(command, reply)
    );
    return decodeBatchResponse(payload).map(askedResult);
  }

  prepare(sql: string): Promise<StatementDescription> {
    return promised((reply) => void this.scope.prepare({ sql }, reply));
  }
}

function askedResult(result: StepResult): AskedResult {
  if (result === null) return null;
  if (result.kind === "error") return result.error.name;
  const { columns, page, changes } = result;
  return { rows: decodeRowPage(page, columns.length), changes };
}

/** A transaction. */
export class AskedTransaction extends AskedScope<EngineTransaction> {
  readonly begun: Promise<void>;

  constructor(session: EngineSession, command: Partial<BeginCommand>) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    super(
      session.begin({ readOnly: false, ...command }, { onEnd: () => resolve(), onError: reject }),
    );
    promise.catch(() => {});
    this.begun = promise;
  }

  savepoint(savepoint: number): Promise<void> {
    return promised((reply) => this.scope.savepoint(savepoint, reply));
  }

  release(savepoint: number): Promise<void> {
    return promised((reply) => this.scope.release(savepoint, reply));
  }

  rollbackTo(savepoint: number): Promise<void> {
    return promised((reply) => this.scope.rollbackTo(savepoint, reply));
  }

  commit(): Promise<void> {
    return promised((reply) => this.scope.commit(reply));
  }

  rollback(): Promise<void> {
    return promised((reply) => this.scope.rollback(reply));
  }
}

/** A session. */
export class AskedSession extends AskedScope<EngineSession> {
  constructor(engine: Engine, principal = "tester", permissions: readonly Permission[] = ALL) {
    super(engine.open({ principal, permissions: new Set(permissions) }));
  }

  begin(command: Partial<BeginCommand> = {}): AskedTransaction {
    return new AskedTransaction(this.scope, command);
  }
}
