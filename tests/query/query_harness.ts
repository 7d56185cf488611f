// What the query tests share: permissions, a statement run to its end, an engine asked like a function.

import { canUseFiles } from "../harness/folder.ts";
import type {
  Engine,
  ExecuteCommand,
  Execution,
  Permission,
  Reply,
  ResultEnd,
  StatementScope,
} from "../../src/query/engine.ts";
import { permissionMask } from "../../src/query/sqlite/permissions.ts";
import { sqliteSettings } from "../../src/query/sqlite/settings.ts";
import type { SqliteLimits } from "../../src/query/sqlite/settings.ts";
import { StatementRunner } from "../../src/query/sqlite/statement_runner.ts";
import { SqpError } from "../../src/wire/errors.ts";
import { encodeParams } from "../../src/wire/params.ts";
import type { Column } from "../../src/wire/response_payload.ts";
import { decodeRowPage } from "../../src/wire/row_page.ts";
import type { Row, SqlParams } from "../../src/wire/value.ts";

/** Everything that the engine enforces. */
export const ALL: readonly Permission[] = ["read", "write", "schema"];

/** A statement that never ends and never yields a row. */
export const ENDLESS =
  "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c";

function granted(permission: Deno.PermissionDescriptor): boolean {
  return Deno.permissions.querySync(permission).state === "granted";
}

/** Whether tests that start engine processes lack a permission. */
export const CANNOT_RUN_PROCESSES = !granted({ name: "run", command: Deno.execPath() }) ||
  !granted({ name: "read", path: "." }) || !canUseFiles();

/** Whether tests that kill processes by their number lack a permission; Deno.kill asks for the one to run anything. */
export const CANNOT_KILL = CANNOT_RUN_PROCESSES || !granted({ name: "run", command: "kill" });

/** Whether tests that make symbolic links lack a permission; Deno.symlink asks for the one to write anywhere. */
export const CANNOT_LINK = CANNOT_RUN_PROCESSES || !granted({ name: "run", command: "ln" });

/** Makes a symbolic link. */
export function makeLink(target: string, path: string): void {
  new Deno.Command("ln", { args: ["-s", target, path] }).outputSync();
}

/** Kills a process that a test's engine started. One that is gone already is no error. */
export function killProcess(pid: number): void {
  new Deno.Command("kill", { args: ["-9", String(pid)], stderr: "null" }).outputSync();
}

/** Whether what the system tells of other processes can be read; Deno asks for every permission. */
export const CAN_READ_PROC = !CANNOT_RUN_PROCESSES && Deno.build.os === "linux" && canReadProc();

function canReadProc(): boolean {
  try {
    Deno.readTextFileSync(`/proc/${Deno.ppid}/status`);
    return true;
  } catch {
    return false;
  }
}

/** A whole result. */
export interface Result {
  readonly columns: readonly Column[];
  readonly rows: Row[];
  readonly pages: number;
  readonly end: ResultEnd;
}

/** One database in memory, for tests without permissions of their own. */
export class MemoryDatabase implements Disposable {
  readonly runner: StatementRunner;

  constructor(limits: Partial<SqliteLimits> = {}) {
    this.runner = new StatementRunner(sqliteSettings(":memory:", { limits }), "single", () => 0);
  }

  /** Runs a statement to its end. Throws {@linkcode SqpError}. */
  run(sql: string, params: SqlParams = [], permissions: readonly Permission[] = ALL): Result {
    const request = {
      sql,
      params: encodeParams(params),
      permissions: permissionMask(new Set(permissions)),
    };
    const running = this.runner.start(request);
    if (running.kind === "handOff") throw new Error("only a reader hands off");
    const rows: Row[] = [];
    for (let pages = 0;;) {
      const { page, end } = running.next();
      if (page !== undefined) {
        pages++;
        rows.push(...decodeRowPage(page.subarray(4), running.columns!.length));
      }
      if (end !== undefined) return { columns: running.columns!, rows, pages, end };
    }
  }

  /** The name of the error that a statement ends with. */
  errorName(sql: string, params: SqlParams = [], permissions?: readonly Permission[]): string {
    return errorOf(() => this.run(sql, params, permissions)).codeName;
  }

  [Symbol.dispose](): void {
    this.runner.close();
  }
}

/** What a command replies, as a promise. */
export function replied<Outcome>(start: (reply: Reply<Outcome>) => unknown): Promise<Outcome> {
  return new Promise((onEnd, onError) => start({ onEnd, onError }));
}

/** The {@linkcode SqpError} that a call throws. */
export function errorOf(body: () => unknown): SqpError {
  try {
    body();
  } catch (error) {
    if (error instanceof SqpError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

/** How a command is asked of an engine. */
export interface AskOptions {
  readonly params?: SqlParams;
  readonly permissions?: readonly Permission[];
  readonly deadlineMs?: number;
  readonly principal?: string;
  readonly idempotencyKey?: string;
  /** Takes the execution as soon as it exists. */
  readonly onStart?: (execution: Execution) => void;
  /** Called for each page instead of asking for the next one at once. */
  readonly onPage?: (execution: Execution, page: Uint8Array) => void;
  /** Rows are not kept, only counted by the engine. */
  readonly dropRows?: boolean;
}

/** Runs a command in a session of its own to its end. Rejects with {@linkcode SqpError}. */
export function ask(engine: Engine, sql: string, options: AskOptions = {}): Promise<Result> {
  const caller = {
    principal: options.principal ?? "tester",
    permissions: new Set(options.permissions ?? ALL),
  };
  return askIn(engine.open(caller), sql, options);
}

/** Runs a command in a session or transaction to its end. Rejects with {@linkcode SqpError}. */
export function askIn(
  scope: StatementScope,
  sql: string,
  options: AskOptions = {},
): Promise<Result> {
  const { promise, resolve, reject } = Promise.withResolvers<Result>();
  const { deadlineMs, idempotencyKey } = options;
  const command: ExecuteCommand = {
    sql,
    params: encodeParams(options.params ?? []),
    ...(deadlineMs !== undefined && { deadlineMs }),
    ...(idempotencyKey !== undefined && { idempotencyKey }),
  };
  let columns: readonly Column[] = [];
  const rows: Row[] = [];
  let pages = 0;
  const execution = scope.execute(command, {
    onHead: (head) => columns = head,
    onPage(page, last) {
      pages++;
      if (!options.dropRows) rows.push(...decodeRowPage(page.subarray(4), columns.length));
      if (options.onPage !== undefined) options.onPage(execution, page);
      else if (!last) execution.pull(1);
    },
    onEnd: (end) => resolve({ columns, rows, pages, end }),
    onError: reject,
  });
  options.onStart?.(execution);
  return promise;
}

/** The name of the error that a command ends with. */
export function askError(engine: Engine, sql: string, options: AskOptions = {}): Promise<string> {
  return errorName(ask(engine, sql, options));
}

/** The name of the error that a promise is rejected with. */
export async function errorName(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof SqpError) return error.codeName;
    throw error;
  }
  throw new Error("the command ended without an error");
}

/** Repeats what fails because of others, such as by a deadlock with those who write. */
export async function retried(run: () => Promise<unknown>): Promise<void> {
  for (let attempts = 1;; attempts++) {
    try {
      return void await run();
    } catch (error) {
      if (!(error instanceof SqpError) || error.retry === "no" || attempts === 20) throw error;
    }
  }
}
