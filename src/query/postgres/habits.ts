// What is remembered of a text's last run, and how it is run because of that.

/** What one text did. */
interface Habit {
  /** Its last run ended soon and in one page; `undefined` before the first one. */
  readonly short?: boolean;
  /** How many parameters it has; `null` where that is not known. */
  readonly parameterCount?: number | null;
  /** The server was asked, and it ends no transaction. */
  readonly endsNothing?: boolean;
}

/** Texts longer than this are neither remembered nor kept prepared. */
const PREPARED_CHARACTERS_MAX = 16 * 1024;

/** Remembers texts, those that were used last. */
export class Habits {
  readonly #habits = new Map<string, Habit>();
  readonly #countMax: number;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  /**
   * How to run a text. One that is run for the first time, and will not be again as far as is known, is not kept
   * prepared, so that texts that never come again take no memory of the server's. One whose last run was short is asked
   * for all its rows at once, which saves a round trip; any other by a cursor, so that its rows come as they are
   * computed and wanted.
   */
  of(sql: string, isRepeated: boolean): { readonly prepare: boolean; readonly byCursor: boolean } {
    const short = this.#habits.get(sql)?.short;
    return {
      prepare: (short !== undefined || isRepeated) && sql.length <= PREPARED_CHARACTERS_MAX,
      byCursor: short !== true,
    };
  }

  /** How many parameters a text has, `null` where the server did not say, `undefined` where it was not asked. */
  parameterCount(sql: string): number | null | undefined {
    return this.#habits.get(sql)?.parameterCount;
  }

  /** Whether it is known that a text ends no transaction. */
  endsNothing(sql: string): boolean {
    return this.#habits.get(sql)?.endsNothing === true;
  }

  /** Remembers a run. */
  note(sql: string, habit: Habit): void {
    if (sql.length > PREPARED_CHARACTERS_MAX) return;
    const known = this.#habits.get(sql);
    this.#habits.delete(sql);
    this.#habits.set(sql, { ...known, ...habit });
    if (this.#habits.size <= this.#countMax) return;
    for (const oldest of this.#habits.keys()) {
      this.#habits.delete(oldest);
      return;
    }
  }
}
