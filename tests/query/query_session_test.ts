// A session's transactions and prepared statements, over an engine that only notes what it is told.

import { assert, assertEquals } from "@std/assert";
import type {
  Engine,
  EngineSession,
  EngineTransaction,
  Reply,
  RunningCommand,
} from "../../src/query/engine.ts";
import type { Responder } from "../../src/query/answer.ts";
import type { QueryLimits } from "../../src/query/limits.ts";
import { QuerySession } from "../../src/query/query_session.ts";
import { encodeQuery, type KnownCommand } from "../../src/wire/query_payload.ts";
import { decodePrepared } from "../../src/wire/response_payload.ts";
import { NO_PARAMS } from "../../src/wire/statement_source.ts";

const RUNNING: RunningCommand & { pull(): void } = { cancel() {}, pull() {} };

/** Notes what it is told, and answers at once unless it is told to be silent. */
class NotingEngine {
  readonly notes: string[] = [];
  silent = false;

  #answer<T>(note: string, reply: Reply<T>, outcome: T): typeof RUNNING {
    this.notes.push(note);
    if (!this.silent) queueMicrotask(() => reply.onEnd(outcome));
    return RUNNING;
  }

  #scope(name: string) {
    return {
      execute: ({ sql }, sink) =>
        this.#answer(`${name}${sql}`, sink, { changes: 0, lastInsertRowid: null, rowCount: 0 }),
      batch: ({ steps }, reply) =>
        this.#answer(`${name}batch of ${steps.map(({ sql }) => sql)}`, reply, {
          payload: new Uint8Array([0x80]),
        }),
      prepare: ({ sql }, reply) =>
        this.#answer(`${name}prepare ${sql}`, reply, { columns: [], parameters: [] }),
    } satisfies Pick<EngineTransaction, "execute" | "batch" | "prepare">;
  }

  #transaction(): EngineTransaction {
    const done = (note: string, reply: Reply<void>) => void this.#answer(note, reply, undefined);
    return {
      ...this.#scope("in "),
      savepoint: (n, reply) => done(`savepoint ${n}`, reply),
      release: (n, reply) => done(`release ${n}`, reply),
      rollbackTo: (n, reply) => done(`rollback to ${n}`, reply),
      commit: (reply) => done("commit", reply),
      rollback: (reply) => done("rollback", reply),
      abort: ({ codeName }) => void this.notes.push(`abort ${codeName}`),
    };
  }

  open(): EngineSession {
    return {
      ...this.#scope(""),
      begin: (_, reply) => {
        this.#answer("begin", reply, undefined);
        return this.#transaction();
      },
      subscribe: () => RUNNING,
      close: () => void this.notes.push("close"),
    };
  }
}

/** A session that is asked, and what it answers, by name. */
class Asker {
  readonly engine = new NotingEngine();
  readonly answers = new Map<string, string | Uint8Array>();
  readonly #session: QuerySession;

  constructor(limits: Partial<QueryLimits> = {}) {
    const engine: Engine = {
      open: () => this.engine.open(),
      status: () => ({ engine: "notes", queued: 0, running: 0, processes: 0, counters: {} }),
      close: () => Promise.resolve(),
    };
    const caller = { principal: "tester", permissions: new Set(["read"] as const) };
    this.#session = new QuerySession(engine, caller, limits);
  }

  ask(name: string, command: KnownCommand): RunningCommand {
    const responder: Responder = {
      setUrgency() {},
      setTrace() {},
      respond: (payload) => void this.answers.set(name, payload),
      error: ({ codeName }) => void this.answers.set(name, codeName),
      openStream() {
        throw new Error("nothing is streamed here");
      },
    };
    return this.#session.run(encodeQuery(command), responder);
  }

  /** The answers so far: names of errors, and `ok`. */
  async heard(): Promise<Record<string, string>> {
    await new Promise((resolve) => setTimeout(resolve));
    return Object.fromEntries(
      [...this.answers].map(([name, answer]) => [name, typeof answer === "string" ? answer : "ok"]),
    );
  }

  close(): void {
    this.#session.close();
  }
}

const at = (step: number, transaction = 1) => ({ transaction, step });
const begin = (transaction = 1): KnownCommand => ({ cmd: "begin", transaction });
const execute = (sql: string | number, step: number, transaction = 1): KnownCommand => ({
  cmd: "execute",
  sql,
  params: NO_PARAMS,
  at: at(step, transaction),
});

Deno.test("steps run in their order, whatever order they come in, and not before the begin", async () => {
  const asker = new Asker();
  asker.ask("commit", { cmd: "commit", at: at(3) });
  asker.ask("c", { cmd: "savepoint", savepoint: 9, at: at(2) });
  asker.ask("b", execute("b", 1));
  assertEquals(asker.engine.notes, []);
  asker.ask("begin", begin());
  assertEquals(asker.engine.notes, ["begin"]);
  asker.ask("a", execute("a", 0));
  assertEquals(asker.engine.notes, ["begin", "in a", "in b", "savepoint 9", "commit"]);
  assertEquals(await asker.heard(), { a: "ok", b: "ok", begin: "ok", c: "ok", commit: "ok" });
  asker.ask("late", execute("late", 4));
  assertEquals((await asker.heard())["late"], "unknown_transaction");
  asker.ask("again", begin());
  assertEquals((await asker.heard())["again"], "unknown_transaction");
  asker.close();
});

Deno.test("a step that was used, a transaction begun twice, a number too far ahead are refused", async () => {
  const asker = new Asker({ transactionsMax: 2, transactionGapMax: 10, waitingStepsMax: 2 });
  asker.ask("begin", begin());
  asker.ask("begin again", begin());
  asker.ask("a", execute("a", 0));
  asker.ask("a again", execute("a", 0));
  asker.ask("far", begin(12));
  for (const step of [2, 3, 4]) asker.ask(`wait ${step}`, execute("x", step));
  asker.ask("second", begin(2));
  asker.ask("third", begin(3));
  assertEquals(await asker.heard(), {
    "a again": "bad_request",
    "begin again": "bad_request",
    "far": "bad_request",
    "wait 4": "too_many_requests",
    "third": "too_many_transactions",
    "begin": "ok",
    "a": "ok",
    "second": "ok",
  });
  asker.close();
  const { "wait 2": two, "wait 3": three } = await asker.heard();
  assertEquals([two, three], ["session_closed", "session_closed"]);
  assertEquals(asker.engine.notes.slice(-3), [
    "abort session_closed",
    "abort session_closed",
    "close",
  ]);
});

Deno.test("a transaction that is idle, also because a step is missing, is aborted with the reason", async () => {
  const asker = new Asker({ transactionIdleMs: 20 });
  asker.ask("begin", begin());
  asker.ask("b", execute("b", 1));
  asker.ask("never begun", execute("x", 0, 2));
  await new Promise((resolve) => setTimeout(resolve, 60));
  asker.ask("late", execute("late", 0));
  asker.ask("late begin", begin(2));
  const idle = "transaction_idle";
  assertEquals(await asker.heard(), {
    "begin": "ok",
    "b": idle,
    "never begun": idle,
    "late": idle,
    "late begin": idle,
  });
  assertEquals(asker.engine.notes, ["begin", `abort ${idle}`]);
  asker.close();
});

for (
  const [what, stop] of [
    ["is refused", (asker: Asker) => void asker.ask("again", { cmd: "commit", at: at(0) })],
    [
      "is cancelled while it waits",
      (asker: Asker) => asker.ask("waits", { cmd: "commit", at: at(2) }).cancel(),
    ],
  ] as const
) {
  Deno.test(`a transaction whose commit ${what} is not left open in the engine`, async () => {
    const asker = new Asker({ transactionIdleMs: 20 });
    asker.ask("begin", begin());
    asker.ask("a", execute("a", 0));
    stop(asker);
    await new Promise((resolve) => setTimeout(resolve, 60));
    assertEquals(asker.engine.notes.slice(0, 2), ["begin", "in a"]);
    assert(asker.engine.notes.at(-1)!.startsWith("abort"), asker.engine.notes.join());
    asker.close();
  });
}

Deno.test("what runs is not idle, but may be too long", async () => {
  const asker = new Asker({ transactionIdleMs: 20, transactionMsMax: 80 });
  asker.ask("begin", begin());
  await asker.heard();
  asker.engine.silent = true;
  asker.ask("a", execute("a", 0));
  await new Promise((resolve) => setTimeout(resolve, 50));
  assertEquals(asker.engine.notes, ["begin", "in a"]);
  await new Promise((resolve) => setTimeout(resolve, 60));
  assertEquals(asker.engine.notes, ["begin", "in a", "abort transaction_too_long"]);
  asker.close();
});

Deno.test("a step that is cancelled while it waits, or cannot start, takes the transaction along", async () => {
  const asker = new Asker();
  asker.ask("begin", begin());
  const waiting = asker.ask("b", execute("b", 1));
  asker.ask("c", execute("c", 2));
  waiting.cancel();
  asker.ask("a", execute("a", 0));
  assertEquals(await asker.heard(), {
    begin: "ok",
    b: "cancelled",
    c: "transaction_failed",
    a: "transaction_failed",
  });
  asker.ask("begin 2", begin(2));
  asker.ask("unknown", execute(77, 0, 2));
  asker.ask("after", execute("after", 1, 2));
  const { unknown, after } = await asker.heard();
  assertEquals([unknown, after], ["unknown_statement", "transaction_failed"]);
  asker.close();
});

Deno.test("a prepared statement is its text to the engine, and there is a limit of them", async () => {
  const asker = new Asker({
    statementsMax: 2,
    statementCharactersMax: 30,
    batchCharactersMax: 20,
  });
  const prepare = (name: string, sql: string) => asker.ask(name, { cmd: "prepare", sql });
  prepare("p", "select 1");
  await asker.heard();
  const { statement } = decodePrepared(asker.answers.get("p") as Uint8Array);
  const run = (name: string) =>
    asker.ask(name, { cmd: "execute", sql: statement, params: NO_PARAMS });
  run("run");
  prepare("long", "select 'a text that is too long for the limit'");
  prepare("q", "select 2");
  await asker.heard();
  prepare("r", "select 3");
  const step = { sql: statement, params: NO_PARAMS, conditions: [], mayFail: false };
  asker.ask("batch", { cmd: "batch", steps: [step, step] });
  asker.ask("larger", { cmd: "batch", steps: [step, step, step] });
  assertEquals(asker.engine.notes, [
    "prepare select 1",
    "select 1",
    "prepare select 2",
    "batch of select 1,select 1",
  ]);
  asker.ask("gone", { cmd: "unprepare", statement });
  asker.ask("gone again", { cmd: "unprepare", statement });
  run("run again");
  const { p: _, q: __, ...rest } = await asker.heard();
  assertEquals(rest, {
    "run": "ok",
    "long": "too_many_statements",
    "r": "too_many_statements",
    "batch": "ok",
    "larger": "message_too_large",
    "gone": "ok",
    "gone again": "ok",
    "run again": "unknown_statement",
  });
  asker.close();
});
