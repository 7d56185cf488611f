// What an engine process does with its messages. It runs one thing at a time and computes no page that was not asked
// for.

import { SqpError } from "../../wire/errors.ts";
import type { ResultPart, RunningStatement } from "./running_statement.ts";
import { StatementRunner } from "./statement_runner.ts";
import { runWriteGroup, WriteStatement } from "./write_statement.ts";
import {
  type Message,
  MessageKind,
  MessageWriter,
  type OpenMessage,
  readExecute,
  readOpen,
  readPull,
} from "./ipc.ts";

/** Bytes that are gathered before they are written. */
const WRITE_BYTES = 64 * 1024;

/** How long writes are gathered into one commit. */
const GROUP_MS = 5;

interface OpenStatement {
  readonly id: number;
  readonly running: RunningStatement;
  /** Pages that were asked for and not given. */
  credit: number;
  headSent: boolean;
}

/** The state of an engine process. `write` takes bytes for the server and blocks while the server does not read. */
export class EngineLoop {
  readonly #write: (bytes: Uint8Array) => void;
  readonly #clockMs: () => number;
  readonly #out = new MessageWriter();
  readonly #statements = new Map<number, OpenStatement>();
  #runner: StatementRunner | undefined;
  #opened: OpenMessage | undefined;

  constructor(write: (bytes: Uint8Array) => void, clockMs: () => number) {
    this.#write = write;
    this.#clockMs = clockMs;
  }

  /** What the process was told when it started, once it was. */
  get opened(): OpenMessage | undefined {
    return this.#opened;
  }

  /** Handles messages that came together: short statements first, then what may take its time, a page each in turn. */
  handle(messages: readonly Message[]): void {
    const cancelled = new Set<number>();
    for (const { kind, id } of messages) if (kind === MessageKind.CANCEL) cancelled.add(id);
    for (const message of messages) {
      switch (message.kind) {
        case MessageKind.OPEN:
          this.#open(message);
          break;
        case MessageKind.EXECUTE:
          if (!cancelled.has(message.id)) this.#execute(message);
          break;
        case MessageKind.PULL: {
          const statement = this.#statements.get(message.id);
          if (statement !== undefined) statement.credit += readPull(message.body);
          break;
        }
        case MessageKind.CANCEL:
          this.#cancel(message.id);
      }
    }
    this.#flush();
    this.#runStatements();
  }

  #open(message: Message): void {
    this.#opened = readOpen(message.body);
    const { settings, role } = this.#opened;
    try {
      this.#runner = new StatementRunner(settings, role, this.#clockMs);
      this.#out.bare(MessageKind.READY, 0);
    } catch (error) {
      this.#out.error(MessageKind.FATAL, 0, asSqpError(error));
    }
  }

  #execute({ id, body }: Message): void {
    try {
      const request = readExecute(body);
      if (!this.#runner!.knows(request)) this.#announce(id);
      const running = this.#runner!.start(request);
      if (running.kind === "handOff") return this.#out.bare(MessageKind.HAND_OFF, id);
      const statement = { id, running, credit: 1, headSent: false };
      this.#statements.set(id, statement);
      if (running.short) this.#step(statement);
    } catch (error) {
      this.#out.error(MessageKind.ERROR, id, asSqpError(error));
    }
  }

  #cancel(id: number): void {
    const statement = this.#statements.get(id);
    this.#statements.delete(id);
    statement?.running.close();
    this.#out.bare(MessageKind.CLOSED, id);
  }

  /** Runs the writes that wait, then gives each statement a page in turn until none has credit left. */
  #runStatements(): void {
    this.#runWrites();
    for (let ran = true; ran;) {
      ran = false;
      for (const statement of this.#statements.values()) {
        if (statement.credit === 0) continue;
        ran = true;
        if (statement.running instanceof WriteStatement) this.#step(statement);
        else {
          this.#announce(statement.id);
          this.#step(statement);
          this.#flush();
        }
      }
    }
    this.#flush();
  }

  /** The server must know what it kills, and what came before must not wait for a statement that may never end. */
  #announce(id: number): void {
    this.#out.bare(MessageKind.RUNNING, id);
    this.#flush();
  }

  /** Writes that follow each other on one connection are committed together. */
  #runWrites(): void {
    const statements = new Map<WriteStatement, OpenStatement>();
    for (const statement of this.#statements.values()) {
      const { running } = statement;
      if (running instanceof WriteStatement && running.outcome === undefined) {
        statements.set(running, statement);
      }
    }
    let group: WriteStatement[] = [];
    for (const write of statements.keys()) {
      if (group.length > 0 && group[0]!.connection !== write.connection) {
        this.#runGroup(group, statements);
        group = [];
      }
      group.push(write);
    }
    if (group.length > 0) this.#runGroup(group, statements);
  }

  #runGroup(
    group: readonly WriteStatement[],
    statements: ReadonlyMap<WriteStatement, OpenStatement>,
  ): void {
    let longAtMs = this.#clockMs() + GROUP_MS;
    runWriteGroup(group, {
      onRunning: (write) => this.#announce(statements.get(write)!.id),
      isLong: () => this.#clockMs() >= longAtMs,
      onCommitting: (writes) => {
        for (const write of writes) this.#out.bare(MessageKind.BEGUN, statements.get(write)!.id);
        this.#flush();
      },
      onDone: (writes) => {
        for (const write of writes) this.#step(statements.get(write)!);
        this.#flush();
        longAtMs = this.#clockMs() + GROUP_MS;
      },
    });
  }

  #step(statement: OpenStatement): void {
    const { id, running } = statement;
    statement.credit--;
    let part: ResultPart;
    try {
      part = running.next();
    } catch (error) {
      this.#statements.delete(id);
      return this.#out.error(MessageKind.ERROR, id, asSqpError(error));
    }
    if (!statement.headSent) {
      statement.headSent = true;
      this.#out.head(id, running.columns);
    }
    if (part.page !== undefined) this.#out.page(id, part.page, part.end !== undefined);
    if (part.end !== undefined) {
      this.#statements.delete(id);
      this.#out.end(id, part.end);
    }
    if (this.#out.length >= WRITE_BYTES) this.#flush();
  }

  #flush(): void {
    if (this.#out.length > 0) this.#write(this.#out.take());
  }

  /** Closes the database. */
  close(): void {
    for (const { running } of this.#statements.values()) running.close();
    this.#statements.clear();
    this.#runner?.close();
  }
}

function asSqpError(error: unknown): SqpError {
  if (error instanceof SqpError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new SqpError("internal", { message, cause: error });
}
