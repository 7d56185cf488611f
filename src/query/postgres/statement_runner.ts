// Runs statements on connections of one login: how each is asked for, and what is refused of what it did.

import { SqpError } from "../../wire/errors.ts";
import type { BackendEnd, PostgresConnection, RowReceiver } from "./connection.ts";
import { Habits, type RunFacts } from "./habits.ts";
import type { PostgresParameter } from "./parameters.ts";
import type { PostgresLimits } from "./settings.ts";
import { mayEndTransaction, refuseTransactionEnd } from "./transaction_end.ts";

/** A text and what is bound to it. */
export interface BoundStatement {
  readonly sql: string;
  readonly parameters: readonly PostgresParameter[];
  /** It is run more than once, so that it is kept prepared from the first time. */
  readonly isRepeated?: boolean;
}

/** How the rows of a statement come: as they are asked for, all at once, or all at once and behind other statements. */
export type RowWay = "cursor" | "whole" | "together";

/** Takes the rows of a statement. */
export interface StatementReceiver extends RowReceiver {
  /** Called before every attempt. */
  onStart(way: RowWay): void;
  /** Rows so far; with any, a statement is not run again. */
  readonly rowCount: number;
  /** Whether the rows so far fit one page. */
  readonly isSmall: boolean;
  /** Rows may be asked for by a cursor. */
  readonly mayUseCursor: boolean;
}

/** Where a statement runs. */
export type StatementPlace = "alone" | "transaction";

/** Transactions belong to the protocol's own commands; a text that has one ends its connection. */
const TRANSACTION_COMMANDS = new Set([
  "BEGIN",
  "START TRANSACTION",
  "COMMIT",
  "ROLLBACK",
  "SAVEPOINT",
  "RELEASE",
  "PREPARE TRANSACTION",
  "COMMIT PREPARED",
  "ROLLBACK PREPARED",
]);

/** Commands for the rest of a session, which nobody is promised to meet again. */
const SESSION_COMMANDS = new Set([
  "LISTEN",
  "UNLISTEN",
  "PREPARE",
  "DEALLOCATE",
  "DEALLOCATE ALL",
  "DISCARD",
  "DISCARD ALL",
  "DISCARD PLANS",
  "DISCARD SEQUENCES",
  "DISCARD TEMP",
  "LOAD",
]);

/** Settings, which make sense until the end of a transaction, and are discarded behind it. */
const SETTING_COMMANDS = new Set(["SET", "RESET"]);

/** The first words of the tags of commands that change what a prepared statement was prepared for. */
const SCHEMA_COMMANDS = /^(?:CREATE|ALTER|DROP|SELECT INTO|IMPORT)\b/;

/**
 * Codes that a statement which was prepared before the schema changed may end with, and the same text prepared anew
 * may not: a parameter's type is another, the statement's result is, or the server has forgotten it.
 */
const STALE_CODES = new Set(["0A000", "22P02", "26000", "42804", "42883", "42846"]);

/** Runs statements of one login. */
export class StatementRunner {
  readonly #habits: Habits;
  readonly #onSchemaChange: () => void;

  /** `onSchemaChange` hears of every statement that may have changed the schema. */
  constructor(limits: PostgresLimits, onSchemaChange: () => void) {
    this.#habits = new Habits(limits);
    this.#onSchemaChange = onSchemaChange;
  }

  /**
   * Runs a statement. Throws {@linkcode SqpError}; where the connection can be used no more, it is closed then.
   */
  async run(
    connection: PostgresConnection,
    statement: BoundStatement,
    receiver: StatementReceiver,
    place: StatementPlace,
  ): Promise<BackendEnd> {
    await this.#checkCount(connection, statement, place);
    if (place === "transaction" && this.asksFirst(statement)) {
      await refuseTransactionEnd(connection, statement.sql);
      this.#habits.noteEndsNothing(statement.sql);
    }
    const habit = this.#habits.of(statement.sql, statement.isRepeated === true);
    const byCursor = habit.byCursor && receiver.mayUseCursor;
    const startMs = performance.now();
    let end: BackendEnd;
    try {
      end = await this.#attempt(connection, statement, receiver, { ...habit, byCursor });
    } catch (error) {
      if (!(error instanceof SqpError) || !isStale(error) || !habit.prepare) throw error;
      if (place === "transaction" || receiver.rowCount > 0 || !connection.isOpen) throw error;
      end = await this.#attempt(connection, statement, receiver, { prepare: false, byCursor });
      this.#onSchemaChange();
    }
    this.#check(connection, end, place);
    this.noteRun(statement, end, {
      tookMs: performance.now() - startMs,
      isSmall: receiver.isSmall,
    });
    return end;
  }

  /** Whether a statement is one for {@linkcode runTogether}. */
  runsTogether({ sql, parameters }: BoundStatement): boolean {
    return this.#habits.runsTogether(sql, parameters.length);
  }

  /** Runs a statement behind others that have no end yet. Throws {@linkcode SqpError}. */
  async runTogether(
    connection: PostgresConnection,
    { sql, parameters }: BoundStatement,
    receiver: StatementReceiver,
  ): Promise<BackendEnd> {
    receiver.onStart("together");
    const end = await connection.runTogether({ sql, parameters, prepare: true }, receiver);
    this.#check(connection, end, "alone");
    return end;
  }

  /** Remembers how a run went, for the next one. */
  noteRun(
    { sql }: BoundStatement,
    { command }: BackendEnd,
    facts: Omit<RunFacts, "isQuery">,
  ): void {
    this.#habits.noteRun(sql, { ...facts, isQuery: command === "SELECT" });
  }

  /** Remembers that a statement did not go well together with others. */
  noteApart({ sql }: BoundStatement): void {
    this.#habits.noteApart(sql);
  }

  /** Whether the server is asked about a statement before it runs in a transaction. None with parameters ends one. */
  asksFirst({ sql, parameters }: BoundStatement): boolean {
    return parameters.length === 0 && mayEndTransaction(sql) && !this.#habits.endsNothing(sql);
  }

  #attempt(
    connection: PostgresConnection,
    { sql, parameters }: BoundStatement,
    receiver: StatementReceiver,
    { prepare, byCursor }: { readonly prepare: boolean; readonly byCursor: boolean },
  ): Promise<BackendEnd> {
    receiver.onStart(byCursor ? "cursor" : "whole");
    const cursor = byCursor ? { cursorRows: 1 } : {};
    return connection.run({ sql, parameters, prepare, ...cursor }, receiver);
  }

  /**
   * A parameter that is declared and not used would be taken in silence, so the server is asked how many a text has
   * before its first run. In a transaction the question could be what fails it.
   */
  async #checkCount(
    connection: PostgresConnection,
    { sql, parameters }: BoundStatement,
    place: StatementPlace,
  ): Promise<void> {
    if (parameters.length === 0) return;
    let count = this.#habits.parameterCount(sql);
    if (count === undefined) {
      if (place === "transaction") return;
      count = await parameterCount(connection, sql);
      this.#habits.noteParameters(sql, count);
    }
    if (count !== null && count !== parameters.length) {
      const message = `The statement has ${count} parameters, ${parameters.length} were given.`;
      throw new SqpError("parameter_count", { message });
    }
  }

  /** Throws {@linkcode SqpError} for what no text may do, by its command tag. */
  #check(connection: PostgresConnection, { command }: BackendEnd, place: StatementPlace): void {
    if (command === undefined) throw new SqpError("empty_statement");
    if (SCHEMA_COMMANDS.test(command)) {
      connection.forgetPrepared();
      this.#onSchemaChange();
    }
    let why: string | undefined;
    if (TRANSACTION_COMMANDS.has(command)) why = "transactions have commands of their own";
    else if (SESSION_COMMANDS.has(command)) why = "it would outlive its command";
    else if (SETTING_COMMANDS.has(command)) {
      if (place === "transaction") connection.isSoiled = true;
      else why = "settings are for transactions";
    }
    if (why === undefined) return;
    connection.destroy();
    throw new SqpError("statement_not_allowed", { message: `${command} is refused: ${why}.` });
  }
}

function isStale({ engine }: SqpError): boolean {
  return typeof engine?.code === "string" && STALE_CODES.has(engine.code);
}

/** How many parameters a text has; `null` where the server cannot say without their types. */
async function parameterCount(
  connection: PostgresConnection,
  sql: string,
): Promise<number | null> {
  try {
    return (await connection.describe(sql)).parameterTypes.length;
  } catch (error) {
    // Whatever is wrong with the text, running it tells; what was ended meanwhile is not run.
    if (!(error instanceof SqpError) || error.engine === undefined) throw error;
    if (error.codeName === "deadline_exceeded") throw error;
    return null;
  }
}
