// Proofs over the bytecode of a prepared statement, as EXPLAIN shows it.

/** One instruction: its operation and its second operand, which is where an operation that jumps jumps to. */
export interface Instruction {
  readonly opcode: string;
  readonly p2: number;
}

/** What is known about a statement without running it. */
export interface BytecodeProof {
  /** It gives at most {@linkcode FEW_ROWS_MAX} rows, whatever the data: none of its result rows lies on a loop. */
  readonly fewRows: boolean;
  /** Besides, it has no loop at all, and no operation that may be slow by itself: it cannot run for long. */
  readonly short: boolean;
}

const UNPROVED: BytecodeProof = { fewRows: false, short: false };

/** Result rows that a statement without a loop around them may have. */
export const FEW_ROWS_MAX = 16;

/** Longer programs are not analysed. */
const INSTRUCTIONS_MAX = 2_000;

/** Operations that never jump. What is not named here is taken to jump to its second operand. */
const STRAIGHT = new Set(
  `
    Add Affinity AggFinal AggInverse AggStep AggStep1 And BitAnd BitNot BitOr Blob Cast Close
    CollSeq Column Concat Copy Count Divide DeferredSeek Explain Function IdxRowid Int64 IntCopy
    Integer MakeRecord Move Multiply Noop Not Null NullRow Offset OpenRead Or PureFunc Real
    RealAffinity Remainder ResultRow Rowid SCopy ShiftLeft ShiftRight String String8 Subtract
    Transaction Variable VColumn VOpen ZeroOrNull
  `.trim().split(/\s+/),
);

/** Operations that jump to where a register says, or run another program. */
const UNKNOWN_TARGET = new Set(
  "EndCoroutine Gosub InitCoroutine Jump Program Return Yield".split(" "),
);

/**
 * Operations each of which takes a time that is bounded by the size of one value or by the depth of one tree. What is
 * not named here may be slow by itself: functions, counts of whole tables, sorters, virtual tables, checks.
 */
const SHORT = new Set(
  `
    Add Affinity AggFinal AggStep AggStep1 And BitAnd BitNot BitOr Blob Cast Close CollSeq Column Compare Concat Copy
    DecrJumpZero DeferredSeek Divide Eq Explain First Found Ge Goto Gt Halt HaltIfNull IdxGE IdxGT IdxLE IdxLT IdxRowid
    If IfNoHope IfNot IfNotZero IfNullRow IfPos Init Int64 IntCopy Integer IsNull IsTrue IsType Last Le Lt MakeRecord
    Move Multiply MustBeInt Ne Next NoConflict Noop Not NotExists NotFound NotNull Null NullRow Once OpenRead Or Prev
    Real RealAffinity Remainder ReopenIdx ResultRow Rewind Rowid SCopy SeekGE SeekGT SeekHit SeekLE SeekLT SeekRowid
    ShiftLeft ShiftRight String String8 Subtract Transaction Variable ZeroOrNull
  `.trim().split(/\s+/),
);

/** Operations that are never followed by the next one. */
const NO_FALL_THROUGH = new Set(["Goto", "Halt"]);

/**
 * Looks for loops. An instruction that is not known is taken to fall through and to jump, so that a proof is never
 * wrong for it.
 */
export function proveBytecode(program: readonly Instruction[]): BytecodeProof {
  if (program.length === 0 || program.length > INSTRUCTIONS_MAX) return UNPROVED;
  let isShort = true;
  const rows: number[] = [];
  for (const [at, { opcode }] of program.entries()) {
    if (UNKNOWN_TARGET.has(opcode)) return UNPROVED;
    if (!SHORT.has(opcode)) isShort = false;
    if (opcode === "ResultRow") rows.push(at);
  }
  const fewRows = rows.length <= FEW_ROWS_MAX && rows.every((at) => !reachesItself(program, at));
  return { fewRows, short: fewRows && isShort && !hasLoop(program) };
}

function successors(program: readonly Instruction[], at: number): number[] {
  const { opcode, p2 } = program[at]!;
  const next: number[] = [];
  if (!NO_FALL_THROUGH.has(opcode) && at + 1 < program.length) next.push(at + 1);
  if (opcode !== "Halt" && !STRAIGHT.has(opcode) && p2 > 0 && p2 < program.length) next.push(p2);
  return next;
}

function reachesItself(program: readonly Instruction[], start: number): boolean {
  const seen = new Uint8Array(program.length);
  const pending = successors(program, start);
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    if (at === start) return true;
    if (seen[at] === 1) continue;
    seen[at] = 1;
    pending.push(...successors(program, at));
  }
  return false;
}

/** Whether any instruction that the first one leads to lies on a loop: a depth-first search that meets its own path. */
function hasLoop(program: readonly Instruction[]): boolean {
  const ON_PATH = 1, DONE = 2;
  const state = new Uint8Array(program.length);
  const path: { at: number; pending: number[] }[] = [{ at: 0, pending: successors(program, 0) }];
  state[0] = ON_PATH;
  for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
    const next = top.pending.pop();
    if (next === undefined) {
      state[top.at] = DONE;
      path.pop();
    } else if (state[next] === ON_PATH) {
      return true;
    } else if (state[next] !== DONE) {
      state[next] = ON_PATH;
      path.push({ at: next, pending: successors(program, next) });
    }
  }
  return false;
}
