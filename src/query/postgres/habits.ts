// What is remembered of a text's runs, and how it is run because of that.

/** What bounds the memory, and what counts as short. */
export interface HabitLimits {
  /** Texts that are remembered. */
  readonly habitsMax: number;
  /** A text is short that was run within this time not long ago, the last time in one page. */
  readonly shortMsMax: number;
  /** What a run may take beyond the quickest of all that is still run together with others. */
  readonly togetherMsMax: number;
  /** Runs by itself of a text that did not go well together. */
  readonly apartRuns: number;
}

/** How a run went that came to its end. */
export interface RunFacts {
  readonly tookMs: number;
  /** Its rows fitted one page. */
  readonly isSmall: boolean;
  /** Its command tag says that it is a query. It may write all the same, by a function. */
  readonly isQuery: boolean;
}

/** What one text did. */
interface Habit {
  /** It is short; `undefined` before the first run. */
  short?: boolean;
  isQuery?: boolean;
  /** What its quickest run took, which counts less from run to run. */
  quickMs?: number;
  /** Runs that it has to go on by itself. */
  apartRuns?: number;
  /** How many parameters it has; `null` where that is not known. */
  parameterCount?: number | null;
  /** The server was asked, and it ends no transaction. */
  endsNothing?: boolean;
}

/** Texts longer than this are neither remembered nor kept prepared. */
const PREPARED_CHARACTERS_MAX = 16 * 1024;

/**
 * By how much a text's quickest run counts as slower from run to run: one that has become slow is noticed soon, and one
 * that was slow for once, as everything was, makes no difference.
 */
const FADING = 1.5;

/** Remembers texts, those that were used last. */
export class Habits {
  readonly #habits = new Map<string, Habit>();
  readonly #limits: HabitLimits;
  /** What the quickest run of all took: about the way to the server and back. */
  #quickestMs = Infinity;

  constructor(limits: HabitLimits) {
    this.#limits = limits;
  }

  /**
   * How to run a text. One that is run for the first time, and will not be again as far as is known, is not kept
   * prepared, so that texts that never come again take no memory of the server's. One that is short is asked
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

  /** Whether a text is a query so quick that others wait behind it rather than for connections of their own. */
  runsTogether(sql: string, parameterCount: number): boolean {
    const habit = this.#habits.get(sql);
    return habit?.short === true && habit.isQuery === true && !(habit.apartRuns! > 0) &&
      (parameterCount === 0 || habit.parameterCount === parameterCount) &&
      habit.quickMs! <= this.#quickestMs + this.#limits.togetherMsMax;
  }

  /** How many parameters a text has, `null` where the server did not say, `undefined` where it was not asked. */
  parameterCount(sql: string): number | null | undefined {
    return this.#habits.get(sql)?.parameterCount;
  }

  /** Whether it is known that a text ends no transaction. */
  endsNothing(sql: string): boolean {
    return this.#habits.get(sql)?.endsNothing === true;
  }

  /** Remembers how many parameters a text has. */
  noteParameters(sql: string, parameterCount: number | null): void {
    this.#note(sql, { parameterCount });
  }

  /** Remembers that a text ends no transaction. */
  noteEndsNothing(sql: string): void {
    this.#note(sql, { endsNothing: true });
  }

  /** Remembers a run. */
  noteRun(sql: string, { tookMs, isSmall, isQuery }: RunFacts): void {
    const { quickMs: beforeMs = Infinity, apartRuns = 0 } = this.#habits.get(sql) ?? {};
    const quickMs = Math.min(tookMs, beforeMs * FADING);
    this.#quickestMs = Math.min(this.#quickestMs, tookMs);
    this.#note(sql, {
      ...{ isQuery, quickMs, short: quickMs <= this.#limits.shortMsMax && isSmall },
      apartRuns: Math.max(0, apartRuns - 1),
    });
  }

  /** Remembers that a text did not go well together with others. */
  noteApart(sql: string): void {
    this.#note(sql, { apartRuns: this.#limits.apartRuns });
  }

  #note(sql: string, news: Habit): void {
    if (sql.length > PREPARED_CHARACTERS_MAX) return;
    const known = this.#habits.get(sql);
    this.#habits.delete(sql);
    this.#habits.set(sql, known === undefined ? news : Object.assign(known, news));
    if (this.#habits.size <= this.#limits.habitsMax) return;
    for (const oldest of this.#habits.keys()) {
      this.#habits.delete(oldest);
      return;
    }
  }
}
