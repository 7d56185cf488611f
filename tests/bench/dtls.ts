// What DTLS does in a second with each crypto provider.

import type { Measured } from "./dtls_worker.ts";
import { figure, PRESENT_PROVIDERS, type Table } from "./measure.ts";

/**
 * How often all lines of a Worker are measured, one after the other: others use the machine for seconds, and the best
 * counts. No Worker waits in between: V8 lets go of compiled code that was not used for a while.
 */
const PASSES = 6;

/** A Worker that measures some lines of one provider, at a time when no other does. */
class MeasuringWorker implements Disposable {
  readonly #worker = new Worker(new URL("./dtls_worker.ts", import.meta.url), { type: "module" });
  what: readonly string[] = [];
  /** The best rates so far, as `what` names them. */
  best: readonly number[] = [];

  async start(measured: Measured): Promise<void> {
    this.what = await this.#ask<string[]>(measured);
    this.best = this.what.map(() => 0);
  }

  async measure(): Promise<void> {
    const rates = await this.#ask<number[]>("measure");
    this.best = rates.map((rate, i) => Math.max(rate, this.best[i]!));
  }

  #ask<Answer>(message: Measured | "measure"): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#worker.onmessage = ({ data }: MessageEvent<Answer>) => resolve(data);
      this.#worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(event.message));
      };
      this.#worker.postMessage(message);
    });
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

/** Measures full and resumed handshakes, and records, with each provider that is present. */
export async function benchDtls(): Promise<Table> {
  using all = new DisposableStack();
  const parts: MeasuringWorker[][] = [];
  for (const lines of ["dtls", "primitives"] as const) {
    const workers = PRESENT_PROVIDERS.map(() => all.use(new MeasuringWorker()));
    for (const [provider, worker] of workers.entries()) await worker.start({ provider, lines });
    parts.push(workers);
  }
  for (const worker of parts.flat()) {
    for (let pass = 0; pass < PASSES; pass++) await worker.measure();
  }
  return {
    title:
      "DTLS, 1.3 where nothing is said: how often a second, both ends on one thread (X25519, fresh shares, cookie)",
    columns: ["", ...PRESENT_PROVIDERS.map(({ name }) => name)],
    rows: parts.flatMap((workers) =>
      workers[0]!.what.map((what, row) => [what, ...workers.map(({ best }) => figure(best[row]!))])
    ),
  };
}
