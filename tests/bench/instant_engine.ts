// An engine that answers every statement with the same row, at once: it shows what everything else costs.

import type {
  Caller,
  Engine,
  EngineSession,
  EngineStatus,
  Execution,
  ResultSink,
} from "../../src/query/engine.ts";
import { RowPageWriter } from "../../src/wire/row_page.ts";
import { ExecuteOnlySession } from "../harness/execute_only_session.ts";

const COLUMNS = [
  { name: "id", declaredType: "integer" },
  { name: "name", declaredType: "text" },
  { name: "value", declaredType: "real" },
];
const EXECUTION: Execution = { pull() {}, cancel() {} };

function onlyPage(): Uint8Array {
  const writer = new RowPageWriter();
  writer.append([1n, "point number 1", 1.5]);
  return writer.takePage();
}

/** Answers when it is told to; see {@linkcode InstantEngine.runPending}. */
export class InstantEngine implements Engine {
  #waiting: ResultSink[] = [];
  readonly #page = onlyPage();
  readonly #onWork: () => void;

  /** `onWork` is called when there is something to run where there was nothing. */
  constructor(onWork: () => void = () => {}) {
    this.#onWork = onWork;
  }

  open(_caller: Caller): EngineSession {
    return new ExecuteOnlySession((_, sink) => this.#execute(sink));
  }

  #execute(sink: ResultSink): Execution {
    if (this.#waiting.push(sink) === 1) this.#onWork();
    return EXECUTION;
  }

  /** Answers all statements that wait. */
  runPending(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const sink of waiting) {
      sink.onHead(COLUMNS);
      sink.onPage(this.#page, true);
      sink.onEnd({ changes: 0, lastInsertRowid: null, rowCount: 1 });
    }
  }

  status(): EngineStatus {
    return { engine: "instant", queued: 0, running: 0, processes: 0, counters: {} };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
