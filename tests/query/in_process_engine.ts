// An engine without processes, timers and promises, for simulations: it runs in the caller's thread, when told to.

import { SqpError } from "../../src/wire/errors.ts";
import type {
  Caller,
  Engine,
  EngineSession,
  EngineStatus,
  ExecuteCommand,
  Execution,
  ResultSink,
} from "../../src/query/engine.ts";
import { permissionMask } from "../../src/query/sqlite/permissions.ts";
import type { RunningStatement } from "../../src/query/sqlite/running_statement.ts";
import { sqliteSettings } from "../../src/query/sqlite/settings.ts";
import { ExecuteOnlySession } from "../harness/execute_only_session.ts";
import { StatementRunner } from "../../src/query/sqlite/statement_runner.ts";

interface Work {
  readonly caller: Caller;
  readonly command: ExecuteCommand;
  readonly sink: ResultSink;
  credit: number;
  cancelled: boolean;
  running?: RunningStatement;
}

/**
 * A database in memory behind the {@linkcode Engine} interface. All callers must have the same permissions: each set
 * has a connection of
 * its own, and a database in memory belongs to its connection. Deadlines are not kept.
 */
export class InProcessEngine implements Engine {
  readonly #runner = new StatementRunner(sqliteSettings(":memory:"), "single", () => 0);
  readonly #work = new Set<Work>();
  /** Statements that were run, by text: a simulation counts with it that each write ran once. */
  readonly executed = new Map<string, number>();

  open(caller: Caller): EngineSession {
    return new ExecuteOnlySession((command, sink) => this.#execute(caller, command, sink));
  }

  #execute(caller: Caller, command: ExecuteCommand, sink: ResultSink): Execution {
    const work: Work = { caller, command, sink, credit: 1, cancelled: false };
    this.#work.add(work);
    return {
      pull: (pages) => void (work.credit += pages),
      cancel: () => void (work.cancelled = true),
    };
  }

  /** Runs what can run. Returns whether anything did. */
  runPending(): boolean {
    let ran = false;
    for (const work of [...this.#work]) {
      if (work.credit === 0 && !work.cancelled) continue;
      ran = true;
      this.#step(work);
    }
    return ran;
  }

  #step(work: Work): void {
    const { sink } = work;
    try {
      if (work.cancelled) throw new SqpError("cancelled");
      const running = work.running ??= this.#start(work);
      work.credit--;
      const { page, end } = running.next();
      if (page !== undefined) sink.onPage(page, end !== undefined);
      if (end === undefined) return;
      this.#work.delete(work);
      sink.onEnd(end);
    } catch (error) {
      this.#work.delete(work);
      work.running?.close();
      if (!(error instanceof SqpError)) throw error;
      sink.onError(error);
    }
  }

  #start({ caller, command, sink }: Work): RunningStatement {
    const { sql, params } = command;
    const permissions = permissionMask(caller.permissions);
    const running = this.#runner.start({ sql, params, permissions });
    if (running.kind === "handOff") throw new SqpError("internal");
    this.executed.set(sql, (this.executed.get(sql) ?? 0) + 1);
    sink.onHead(running.columns!);
    return running;
  }

  status(): EngineStatus {
    return { engine: "sqlite", queued: 0, running: this.#work.size, processes: 0, counters: {} };
  }

  close(): Promise<void> {
    for (const work of this.#work) work.running?.close();
    this.#work.clear();
    this.#runner.close();
    return Promise.resolve();
  }
}
