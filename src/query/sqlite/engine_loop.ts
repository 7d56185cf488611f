// What an engine process does with its messages. It runs one thing at a time and computes no page that was not asked
// for.

import { SqpError } from "../../wire/errors.ts";
import {
  type Message,
  MessageKind,
  MessageWriter,
  type OpenMessage,
  readOpen,
  readPull,
} from "./ipc.ts";
import {
  ControlKind,
  readBatch,
  readControl,
  readExecute,
  readPlace,
  readPrepare,
} from "./ipc_requests.ts";
import { ProcessTransaction } from "./process_transaction.ts";
import {
  HandOffError,
  isWrite,
  type OpenCommand,
  type ResultPart,
  type RunningStatement,
  type StepOutcome,
  type Write,
} from "./running_statement.ts";
import { type StatementRequest, StatementRunner } from "./statement_runner.ts";
import { runWriteGroup } from "./write_group.ts";

/** Bytes that are gathered before they are written. */
const WRITE_BYTES = 64 * 1024;

/** How long writes are gathered into one commit. */
const GROUP_MS = 5;

/** A read of which it is known that it may take its time. */
interface UnstartedRead {
  readonly request: StatementRequest;
  credit: number;
}

/** Takes bytes for the server, which are valid during the call, and blocks while the server does not read. */
export interface EngineOutput {
  /** They may wait for others, but for no statement. */
  post(bytes: Uint8Array): void;
  /** They are written when it returns. */
  write(bytes: Uint8Array): void;
}

/** The state of an engine process. */
export class EngineLoop {
  readonly out = new MessageWriter();
  readonly #output: EngineOutput;
  readonly #clockMs: () => number;
  readonly #commands = new Map<number, OpenCommand>();
  /** Reads that wait for their first page. */
  readonly #unstarted = new Map<number, UnstartedRead>();
  /** The transaction of a client that is open. As long as it is, nothing else writes. */
  #transaction: ProcessTransaction | undefined;
  /** What came behind a transaction that is open, in order. */
  #held: Message[] = [];
  /** Commands of transactions that wait behind the open one and were cancelled. */
  readonly #heldCancelled = new Set<number>();
  #runner: StatementRunner | undefined;
  #opened: OpenMessage | undefined;

  constructor(output: EngineOutput, clockMs: () => number) {
    this.#output = output;
    this.#clockMs = clockMs;
  }

  /** What the process was told when it started, once it was. */
  get opened(): OpenMessage | undefined {
    return this.#opened;
  }

  /** What prepares and starts commands. */
  get runner(): StatementRunner {
    return this.#runner!;
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
        case MessageKind.PULL:
          this.#pull(message.id, readPull(message.body));
          break;
        case MessageKind.CANCEL:
          this.#cancel(message.id);
          break;
        default:
          // One of a transaction is missed by those behind it, so it is taken to be cancelled there.
          if (!cancelled.has(message.id) || readPlace(message.body).transaction !== 0) {
            this.#take(message);
          }
      }
    }
    this.#run();
  }

  #open(message: Message): void {
    this.#opened = readOpen(message.body);
    const { settings, role } = this.#opened;
    try {
      this.#runner = new StatementRunner(settings, role, this.#clockMs);
      this.out.bare(MessageKind.READY, 0);
    } catch (error) {
      this.out.error(MessageKind.FATAL, 0, asSqpError(error));
    }
  }

  /** Takes a command: for the transaction that is open, or behind it, or to be run now. */
  #take(message: Message): void {
    const { transaction } = readPlace(message.body);
    if (this.#transaction !== undefined) {
      if (transaction !== this.#transaction.number) {
        this.#held.push(message);
        return;
      }
      this.#transaction.add(message);
      if (this.#heldCancelled.delete(message.id)) this.#transaction.cancel(message.id);
      return;
    }
    this.#heldCancelled.delete(message.id);
    if (transaction === 0) return this.#start(message);
    const begin = message.kind === MessageKind.CONTROL ? readControl(message.body).kind : undefined;
    if (begin === ControlKind.BEGIN || begin === ControlKind.BEGIN_READ) {
      return this.#begin(message, begin === ControlKind.BEGIN_READ);
    }
    // Its transaction could not begin, or is over.
    this.fail(message.id, new SqpError("transaction_rolled_back"));
  }

  #begin({ id, body }: Message, readOnly: boolean): void {
    // What came before is committed before.
    this.#runWrites();
    const { permissions, transaction } = readPlace(body);
    try {
      const connection = this.runner.connection(permissions);
      if (readOnly) connection.beginRead();
      else connection.begin();
      this.#transaction = new ProcessTransaction(this, connection, transaction);
      this.out.bare(MessageKind.DONE, id);
    } catch (error) {
      this.fail(id, error);
    }
  }

  #start(message: Message): void {
    const { kind, id, body } = message;
    try {
      if (kind === MessageKind.PREPARE) return this.#describe(message);
      if (kind === MessageKind.BATCH) return this.#add(id, this.runner.startBatch(readBatch(body)));
      const request = readExecute(body);
      if (this.runner.isKnownStream(request)) {
        this.#unstarted.set(id, { request, credit: 1 });
        return;
      }
      const isNew = !this.runner.knows(request);
      if (isNew) this.announce(id);
      this.#execute(id, request, { credit: 1, isNew });
    } catch (error) {
      this.fail(id, error);
    }
  }

  /** Prepares a statement. Throws {@linkcode SqpError}. */
  #execute(
    id: number,
    request: StatementRequest,
    { credit, isNew }: { readonly credit: number; readonly isNew: boolean },
  ): void {
    const running = this.runner.start(request);
    if (running.kind === "handOff") return this.out.handOff(id, 0);
    if (isNew && running.short) this.out.bare(MessageKind.SHORT, id);
    this.#add(id, running, credit);
  }

  #describe({ id, body }: Message): void {
    this.announce(id);
    const connection = this.runner.connection(readPlace(body).permissions);
    const description = this.runner.describe(readPrepare(body), connection);
    if ("kind" in description) this.out.handOff(id, 0);
    else this.out.description(id, description);
  }

  #add(id: number, running: RunningStatement, credit = 1): void {
    const command: OpenCommand = { id, running, credit, headSent: false };
    this.#commands.set(id, command);
    if (running.short || running.atOnce === true) this.#stepOwn(command);
  }

  #pull(id: number, pages: number): void {
    const command = this.#commands.get(id) ?? this.#unstarted.get(id);
    if (command !== undefined) command.credit += pages;
    else this.#transaction?.pull(id, pages);
  }

  #cancel(id: number): void {
    if (this.#transaction?.cancel(id) === true) return;
    const held = this.#held.find((message) => message.id === id);
    if (held !== undefined && readPlace(held.body).transaction !== 0) {
      this.#heldCancelled.add(id);
      return;
    }
    this.#held = this.#held.filter((message) => message !== held);
    const command = this.#commands.get(id);
    this.#commands.delete(id);
    command?.running.close();
    this.out.bare(MessageKind.CLOSED, id);
  }

  /** Runs what waits, until nothing is left that has credit. */
  #run(): void {
    for (;;) {
      this.#runCommands();
      this.#transaction?.run();
      if (this.#transaction?.isOver !== true) break;
      this.#transaction = undefined;
      const held = this.#held;
      this.#held = [];
      for (const message of held) this.#take(message);
    }
    this.flush();
  }

  /** Runs the writes that wait, then gives each command a page in turn until none has credit left. */
  #runCommands(): void {
    this.#runWrites();
    for (let ran = true; ran;) {
      ran = false;
      for (const [id, read] of this.#unstarted) this.#startRead(id, read);
      for (const command of this.#commands.values()) {
        if (command.credit === 0) continue;
        ran = true;
        if (!isWrite(command.running)) this.announce(command.id);
        this.#stepOwn(command);
      }
    }
  }

  /** Gives the first page of a read. The next one can use the same statement then, where that was the only page. */
  #startRead(id: number, { request, credit }: UnstartedRead): void {
    this.#unstarted.delete(id);
    this.announce(id);
    try {
      this.#execute(id, request, { credit, isNew: false });
    } catch (error) {
      return this.fail(id, error);
    }
    const command = this.#commands.get(id);
    if (command !== undefined && command.credit > 0) this.#stepOwn(command);
  }

  /** The server must know what it kills, and what came before must not wait for a statement that may never end. */
  announce(id: number): void {
    this.out.bare(MessageKind.RUNNING, id);
    this.out.drain((bytes) => this.#output.post(bytes));
  }

  /** Writes that follow each other on one connection are committed together. */
  #runWrites(): void {
    const commands = new Map<Write, OpenCommand>();
    for (const command of this.#commands.values()) {
      const { running } = command;
      if (isWrite(running) && !running.isDone) commands.set(running, command);
    }
    let group: Write[] = [];
    for (const write of commands.keys()) {
      if (group.length > 0 && group[0]!.connection !== write.connection) {
        this.#runGroup(group, commands);
        group = [];
      }
      group.push(write);
    }
    if (group.length > 0) this.#runGroup(group, commands);
  }

  #runGroup(group: readonly Write[], commands: ReadonlyMap<Write, OpenCommand>): void {
    let longAtMs = this.#clockMs() + GROUP_MS;
    runWriteGroup(group, {
      onRunning: (write) => this.announce(commands.get(write)!.id),
      isLong: () => this.#clockMs() >= longAtMs,
      onCommitting: (writes) => {
        for (const write of writes) this.out.bare(MessageKind.BEGUN, commands.get(write)!.id);
        this.flush();
      },
      onDone: (writes) => {
        for (const write of writes) this.#stepOwn(commands.get(write)!);
        this.flush();
        longAtMs = this.#clockMs() + GROUP_MS;
      },
    });
  }

  #stepOwn(command: OpenCommand): void {
    if (this.step(command) !== "more") this.#commands.delete(command.id);
  }

  /** Gives the next part of a command's answer. */
  step(command: OpenCommand): StepOutcome {
    const { id, running } = command;
    command.credit--;
    let part: ResultPart;
    try {
      part = running.next();
    } catch (error) {
      this.fail(id, error);
      return "failed";
    }
    if (!command.headSent && running.columns !== undefined) {
      command.headSent = true;
      this.out.head(id, running.columns);
    }
    if (part.page !== undefined) this.out.page(id, part.page, part.end !== undefined);
    if (part.end !== undefined) this.out.end(id, part.end);
    if (part.payload !== undefined) this.out.whole(MessageKind.PAYLOAD, id, part.payload);
    if (this.out.length >= WRITE_BYTES) this.flush();
    return part.end === undefined && part.payload === undefined ? "more" : "ended";
  }

  /** Answers a command with an error. */
  fail(id: number, error: unknown): void {
    if (error instanceof HandOffError) this.out.handOff(id, error.step);
    else this.out.error(MessageKind.ERROR, id, asSqpError(error));
  }

  flush(): void {
    this.out.drain((bytes) => this.#output.write(bytes));
  }

  /** Closes the database. */
  close(): void {
    for (const { running } of this.#commands.values()) running.close();
    this.#commands.clear();
    this.#transaction?.close();
    this.#runner?.close();
  }
}

function asSqpError(error: unknown): SqpError {
  if (error instanceof SqpError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new SqpError("internal", { message, cause: error });
}
