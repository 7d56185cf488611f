// Statements of a client: run by their text or by a number that the server knows them by, alone or as a batch.

import {
  type BatchStep as WireStep,
  decodeBatchResponse,
  type StepCondition,
  type StepResult,
} from "../wire/batch_payload.ts";
import { SqpError } from "../wire/errors.ts";
import { encodeParams } from "../wire/params.ts";
import type { KnownCommand, TransactionStep } from "../wire/query_payload.ts";
import type { Column, ParameterDescription, PreparedResponse } from "../wire/response_payload.ts";
import { decodeRowPage } from "../wire/row_page.ts";
import type { SqlParams } from "../wire/value.ts";
import type { RequestOptions, RequestTable, Result } from "./request_table.ts";
import type { RowStream } from "./row_stream.ts";

/** Options of a statement. */
export interface ExecuteOptions extends RequestOptions {
  /** Columns say which column of which table they are, where they are one. */
  readonly origins?: boolean;
}

/** Options of a write that stands alone. */
export interface WriteOptions extends ExecuteOptions {
  /**
   * The write takes effect once for this principal and key, however often it is sent, also in other sessions: sent
   * again, it is answered as the first time. 1 to 128 bytes.
   */
  readonly idempotencyKey?: string;
}

/** A statement of a batch. */
export interface BatchStep {
  /** Its text, or a prepared statement of the same client. */
  readonly sql: string | PreparedStatement;
  /** Its parameters. */
  readonly params?: SqlParams;
  /** It runs if all of these hold of earlier steps, and is skipped otherwise. */
  readonly if?: readonly StepCondition[];
  /** Its failure is undone and told, and the batch goes on; another step's failure ends the batch. */
  readonly mayFail?: boolean;
}

/** Options of a batch. */
export type BatchOptions = RequestOptions & Pick<WriteOptions, "idempotencyKey">;

/** What became of a step of a batch: its result, the error of one that may fail, or `null` where it was skipped. */
export type BatchResult = Result | SqpError | null;

/** Makes the command that runs a statement. */
export function executeCommand(
  sql: string | number,
  params: SqlParams,
  { origins, idempotencyKey }: WriteOptions,
  at?: TransactionStep,
): KnownCommand {
  return {
    cmd: "execute",
    sql,
    params: encodeParams(params),
    ...(origins === true && { origins }),
    ...(idempotencyKey !== undefined && { idempotencyKey }),
    ...(at !== undefined && { at }),
  };
}

/** Makes the command that runs a batch. */
export function batchCommand(
  steps: readonly (string | BatchStep)[],
  { idempotencyKey }: BatchOptions,
  at?: TransactionStep,
): KnownCommand {
  return {
    cmd: "batch",
    steps: steps.map((step) => wireStep(typeof step === "string" ? { sql: step } : step)),
    ...(idempotencyKey !== undefined && { idempotencyKey }),
    ...(at !== undefined && { at }),
  };
}

function wireStep({ sql, params = [], if: conditions = [], mayFail = false }: BatchStep): WireStep {
  return {
    sql: typeof sql === "string" ? sql : sql.number,
    params: encodeParams(params),
    conditions,
    mayFail,
  };
}

/** Decodes the Response to a batch. Throws `DecodeError`. */
export function decodeBatch(payload: Uint8Array): BatchResult[] {
  return decodeBatchResponse(payload).map(batchResult);
}

function batchResult(result: StepResult): BatchResult {
  if (result === null) return null;
  if (result.kind === "error") return new SqpError(result.error);
  const { columns, page, changes, rowid } = result;
  return { columns, rows: decodeRowPage(page, columns.length), changes, lastInsertRowid: rowid };
}

/** A statement that the server has checked and knows by a number. Made by `Client.prepare`. */
export class PreparedStatement implements AsyncDisposable {
  /** Its text. */
  readonly sql: string;
  /** The number that the server knows it by, in this session. */
  readonly number: number;
  /** The columns of its rows, none for a statement without rows. */
  readonly columns: readonly Column[];
  /** Its parameters. */
  readonly parameters: readonly ParameterDescription[];
  readonly #requests: RequestTable;

  /** See `Client.prepare`. */
  constructor(requests: RequestTable, sql: string, prepared: PreparedResponse) {
    this.#requests = requests;
    this.sql = sql;
    this.number = prepared.statement;
    this.columns = prepared.columns;
    this.parameters = prepared.parameters;
  }

  /** Runs it and gives its whole result. Throws {@linkcode SqpError}. */
  execute(params: SqlParams = [], options: WriteOptions = {}): Promise<Result> {
    return this.#requests.result(
      { command: () => executeCommand(this.number, params, options) },
      options,
    );
  }

  /** Runs it and gives its rows as they come. */
  stream(params: SqlParams = [], options: WriteOptions = {}): RowStream {
    return this.#requests.rows(
      { command: () => executeCommand(this.number, params, options) },
      options,
    );
  }

  /** Lets the server forget it. */
  async close(): Promise<void> {
    const statement = this.number;
    await this.#requests.ask({ command: () => ({ cmd: "unprepare", statement }) }, {}, () => {});
  }

  /** Lets the server forget it at the end of `await using`; a session that is over has. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close().catch(() => {});
  }
}
