// How several writes are committed together: the disk is waited for once.

import { SqpError } from "../../wire/errors.ts";
import type { SqliteConnection } from "./connection.ts";
import type { Write } from "./running_statement.ts";
import { mayLeaveRows } from "./sqlite_errors.ts";

/** What is told, and asked, while a group runs. */
export interface WriteGroupHooks {
  /** This write runs next. */
  onRunning(write: Write): void;
  /** Whether the group has run for so long that it should be committed before it goes on. */
  isLong(): boolean;
  /** From here on these may be committed, and not before. */
  onCommitting(writes: readonly Write[]): void;
  /** These have their outcome. */
  onDone(writes: readonly Write[]): void;
}

/** Nobody is told anything. */
export const NO_HOOKS: WriteGroupHooks = {
  onRunning() {},
  isLong: () => false,
  onCommitting() {},
  onDone() {},
};

/**
 * Runs writes of one connection in order and commits as many together as it may. A write that fails is undone and the
 * others go
 * on, each as if it were alone. (With one exception: a constraint that is deferred is checked when the group is
 * committed.) Where a group
 * cannot be committed, each of its writes runs alone.
 */
export function runWriteGroup(writes: readonly Write[], hooks: WriteGroupHooks): void {
  for (let from = 0; from < writes.length;) from += runTogether(writes.slice(from), hooks);
}

/** Runs the first of the writes, or more, in one transaction. Returns how many. */
function runTogether(writes: readonly Write[], hooks: WriteGroupHooks): number {
  const { connection } = writes[0]!;
  try {
    connection.begin();
  } catch (error) {
    // The database is locked or cannot be written; the next one would fare no better.
    const exact = connection.errorOf(error);
    for (const write of writes) write.fail(exact);
    hooks.onDone(writes);
    return writes.length;
  }
  let count = 0;
  do {
    hooks.onRunning(writes[count]!);
    const write = writes[count++]!;
    write.execute();
    if (write.failure !== undefined && mayLeaveRows(write.failure)) connection.rollback();
    // Some errors, and INSERT OR ROLLBACK, undo the whole transaction.
  } while (
    connection.inTransaction && count < writes.length && !hooks.isLong() && endUnit(connection)
  );
  const ran = writes.slice(0, count);
  const error = commitGroup(ran, hooks);
  if (error !== undefined && count > 1) {
    for (const write of ran) runWriteGroup([write], hooks);
    return count;
  }
  // Its own error says more than that of the commit which could not follow.
  if (error !== undefined && ran[0]!.failure === undefined) ran[0]!.fail(error);
  hooks.onDone(ran);
  return count;
}

/** Ends what change feeds see as one transaction. Returns whether that could be; else nothing is left of the group. */
function endUnit(connection: SqliteConnection): boolean {
  try {
    connection.endUnit();
    return true;
  } catch {
    // What it was shows when each write runs alone.
    return false;
  }
}

/** The error that kept the writes from being committed; then nothing of them is in the database. */
function commitGroup(writes: readonly Write[], hooks: WriteGroupHooks): SqpError | undefined {
  const { connection } = writes[0]!;
  if (!connection.inTransaction) return new SqpError("engine_failure");
  hooks.onCommitting(writes);
  try {
    connection.commit();
    return undefined;
  } catch (error) {
    return connection.errorOf(error);
  }
}
