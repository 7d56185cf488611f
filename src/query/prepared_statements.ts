// The statements that a session has prepared: numbers for texts. What is prepared in an engine is the engine's own
// business, so a number survives whatever becomes of a process.

import { SqpError } from "../wire/errors.ts";
import type { QueryLimits } from "./limits.ts";

/** The texts of one session, by number. */
export class PreparedStatements {
  readonly #limits: QueryLimits;
  readonly #texts = new Map<number, string>();
  #characters = 0;
  #nextNumber = 1;

  constructor(limits: QueryLimits) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#texts.size;
  }

  /** Throws {@linkcode SqpError} `too_many_statements` where there is no room for a text. */
  checkRoom(sql: string): void {
    const { statementsMax, statementCharactersMax } = this.#limits;
    const isFull = this.#texts.size >= statementsMax ||
      this.#characters + sql.length > statementCharactersMax;
    if (isFull) throw new SqpError("too_many_statements");
  }

  /** Gives a text a number, which is used once. Throws as {@linkcode PreparedStatements.checkRoom}. */
  add(sql: string): number {
    this.checkRoom(sql);
    this.#characters += sql.length;
    this.#texts.set(this.#nextNumber, sql);
    return this.#nextNumber++;
  }

  /** The text of a number; a text stands for itself. Throws {@linkcode SqpError} `unknown_statement`. */
  textOf(sql: string | number): string {
    const text = typeof sql === "string" ? sql : this.#texts.get(sql);
    if (text === undefined) throw new SqpError("unknown_statement");
    return text;
  }

  /** Forgets a number. Harmless where it is not known. */
  remove(number: number): void {
    this.#characters -= this.#texts.get(number)?.length ?? 0;
    this.#texts.delete(number);
  }
}
