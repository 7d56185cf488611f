// The server's end of one engine process: starts it, gathers messages into writes, cuts what it answers into
// messages, sees it end.

import type { SqpError } from "../../wire/errors.ts";
import {
  type Message,
  MessageKind,
  MessageSplitter,
  MessageWriter,
  type OpenMessage,
  readError,
} from "./ipc.ts";

/** Bytes of the process's standard error that are kept for the text of an error. */
const STDERR_BYTES = 2_048;

const ENTRY = new URL("./engine_process.ts", import.meta.url);
/** The project's sources: a Worker's modules are read with the process's permissions. */
const SOURCES = new URL("../../", import.meta.url);

/** What becomes of a process. `onExit` comes once and last, when its output was read to the end. */
export interface ProcessListener {
  onReady(): void;
  /** The database could not be opened; `onExit` follows. */
  onFatal(error: SqpError): void;
  onMessage(message: Message): void;
  /** `detail` says how it ended, for a person. */
  onExit(detail: string): void;
}

/** A running engine process. */
export class EngineProcess {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #out = new MessageWriter();
  readonly #listener: ProcessListener;
  #flushing = false;
  /** Resolves when the process is gone and everything that belonged to it is released. Never rejects. */
  readonly finished: Promise<void>;

  /** Throws what `Deno.Command` throws where the process cannot be started. */
  constructor(open: OpenMessage, listener: ProcessListener) {
    this.#listener = listener;
    this.#child = new Deno.Command(Deno.execPath(), {
      args: processArguments(open),
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.finished = this.#run();
    this.send((out) => out.open(open));
  }

  /** The process's id. */
  get pid(): number {
    return this.#child.pid;
  }

  /** Sends what `write` writes, together with everything else that is sent in this turn. */
  send(write: (out: MessageWriter) => void): void {
    write(this.#out);
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => this.#flush());
  }

  async #flush(): Promise<void> {
    try {
      while (this.#out.length > 0) await this.#input.write(this.#out.take());
    } catch {
      // The process is gone; `onExit` says so.
    }
    this.#flushing = false;
  }

  async #run(): Promise<void> {
    const [, errorText, status] = await Promise.all([
      this.#readMessages(),
      readTail(this.#child.stderr),
      this.#child.status,
    ]);
    await this.#input.abort().catch(() => {});
    const how = status.signal === null ? `exit code ${status.code}` : `signal ${status.signal}`;
    this.#listener.onExit(errorText === "" ? how : `${how}: ${errorText}`);
  }

  async #readMessages(): Promise<void> {
    const splitter = new MessageSplitter();
    for await (const bytes of this.#child.stdout) {
      for (const message of this.#split(splitter, bytes)) this.#receive(message);
    }
  }

  #split(splitter: MessageSplitter, bytes: Uint8Array): Message[] {
    try {
      return splitter.push(bytes);
    } catch {
      // What it writes makes no sense: it is of no use any more.
      this.kill();
      return [];
    }
  }

  #receive(message: Message): void {
    if (message.kind === MessageKind.READY) this.#listener.onReady();
    else if (message.kind === MessageKind.FATAL) this.#listener.onFatal(readError(message.body));
    else this.#listener.onMessage(message);
  }

  /** Lets the process end by itself: it does once it has read everything and stands in no statement. */
  close(): void {
    this.#input.close().catch(() => {});
  }

  /** Ends the process at once, whatever it is doing. */
  kill(): void {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }
}

function processArguments({ role, settings, removeAtExit }: OpenMessage): string[] {
  const { path } = settings;
  const sources = decodeURIComponent(SOURCES.pathname);
  const writable = removeAtExit === undefined ? path : `${path},${removeAtExit}`;
  return [
    "run",
    "--quiet",
    "--no-prompt",
    "--cached-only",
    `--allow-read=${path},${sources}`,
    "--allow-sys=getPriority,setPriority",
    ...(role === "writer" ? [`--allow-write=${writable}`] : []),
    ENTRY.href,
  ];
}

async function readTail(stream: ReadableStream<Uint8Array>): Promise<string> {
  let tail = "";
  const text = new TextDecoder();
  for await (const bytes of stream) {
    tail = (tail + text.decode(bytes, { stream: true })).slice(-STDERR_BYTES);
  }
  return tail.trim();
}
