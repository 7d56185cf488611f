// Reads scripts of sqllogictest (https://www.sqlite.org/sqllogictest/doc/trunk/about.wiki), as far as one database
// engine is to run them.

/** In which order the values of a result are compared. */
export type SortMode = "nosort" | "rowsort" | "valuesort";

/** A statement that has to succeed, or to fail. */
export interface StatementRecord {
  readonly kind: "statement";
  /** Where it begins in the script, from 1. */
  readonly line: number;
  readonly sql: string;
  readonly fails: boolean;
}

/** A query and its result. */
export interface QueryRecord {
  readonly kind: "query";
  readonly line: number;
  readonly sql: string;
  /** A letter for each column: T for text, I for an integer, R for a number with three decimal places. */
  readonly types: string;
  readonly sort: SortMode;
  /** Queries of one label have one result. */
  readonly label: string | undefined;
  /** The values, one a line, or one line with their number and hash. */
  readonly expected: readonly string[];
  /** The script has it for its result alone, since this engine does not run it. */
  readonly skipped: boolean;
}

export type ScriptRecord = StatementRecord | QueryRecord;

/** Names of engines that scripts know. */
export type EngineName = "sqlite" | "postgresql";

/** Longer labels are cut. */
const LABEL_CHARACTERS_MAX = 20;

/** A script that is not what the format says. */
export class ScriptError extends Error {
  override readonly name = "ScriptError";

  constructor(line: number, message: string) {
    super(`line ${line}: ${message}`);
  }
}

/** Reads a script until its end or its `halt`. Throws {@linkcode ScriptError}. */
export function readScript(text: string, engine: EngineName): ScriptRecord[] {
  const records: ScriptRecord[] = [];
  for (const lines of blocksOf(text)) {
    const conditions = lines.findIndex(({ text }) => !/^(?:skipif|onlyif)\b/.test(text));
    const [first, ...rest] = lines.slice(conditions);
    if (conditions < 0 || first === undefined) throw new ScriptError(lines[0]!.at, "no record");
    const skipped = lines.slice(0, conditions).some(({ text }) => excludes(text, engine));
    const words = first.text.trim().split(/\s+/);
    switch (words[0]) {
      case "statement":
        if (!skipped) records.push(statement(first.at, words, rest));
        break;
      case "query": {
        const record = query(first.at, words, rest, skipped);
        if (!skipped || record.label !== undefined) records.push(record);
        break;
      }
      // From how many values on a result is a hash. The results themselves show it.
      case "hash-threshold":
        break;
      case "halt":
        if (!skipped) return records;
        break;
      default:
        throw new ScriptError(first.at, `an unknown kind of record: ${first.text}`);
    }
  }
  return records;
}

interface Line {
  readonly at: number;
  readonly text: string;
}

/** Records are separated by blank lines; lines that begin with `#` are not there. */
function* blocksOf(text: string): Generator<Line[]> {
  let block: Line[] = [];
  for (const [at, line] of text.split(/\r?\n/).entries()) {
    if (line.startsWith("#")) continue;
    if (line.trim() !== "") {
      block.push({ at: at + 1, text: line });
    } else if (block.length > 0) {
      yield block;
      block = [];
    }
  }
  if (block.length > 0) yield block;
}

function excludes(condition: string, engine: EngineName): boolean {
  const [kind, name] = condition.trim().split(/\s+/);
  return (kind === "skipif") === (name?.toLowerCase() === engine);
}

const sqlOf = (lines: readonly Line[]) => lines.map(({ text }) => text).join("\n");

function statement(
  line: number,
  [, outcome]: readonly string[],
  rest: readonly Line[],
): StatementRecord {
  if (outcome !== "ok" && outcome !== "error") {
    throw new ScriptError(line, `a statement is "ok" or "error", not "${outcome}"`);
  }
  return { kind: "statement", line, sql: sqlOf(rest), fails: outcome === "error" };
}

function query(
  line: number,
  [, types = "", sort = "nosort", label]: readonly string[],
  rest: readonly Line[],
  skipped: boolean,
): QueryRecord {
  if (!/^[TIR]+$/.test(types)) throw new ScriptError(line, `unknown types "${types}"`);
  if (sort !== "nosort" && sort !== "rowsort" && sort !== "valuesort") {
    throw new ScriptError(line, `an unknown sort mode "${sort}"`);
  }
  const end = rest.findIndex(({ text }) => text === "----");
  return {
    kind: "query",
    line,
    sql: sqlOf(end < 0 ? rest : rest.slice(0, end)),
    types,
    sort,
    label: label?.slice(0, LABEL_CHARACTERS_MAX),
    expected: end < 0 ? [] : rest.slice(end + 1).map(({ text }) => text),
    skipped,
  };
}
