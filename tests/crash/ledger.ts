// What was written while everything around the writers was killed, and what must then be in the database and in feeds.

import { assert, assertEquals } from "@std/assert";
import { pause, until } from "../harness/live_server.ts";
import type { Random } from "../harness/random.ts";
import { type Access, NARROW } from "./access.ts";
import type { Subscriber } from "./subscriber.ts";
import { isKeyed, lossOf, rowCountOf, write, WRITE_KINDS, type WriteKind } from "./writes.ts";

const RETRY_MS = 10;

/** Errors that say that a write was not done, and never will be. */
const NOT_DONE = ["engine_not_run", "transaction_rolled_back"];

interface Entry {
  readonly rowCount: number;
  /** Moments are counted by what was sent and answered. */
  readonly sentAt: number;
  answeredAt: number;
  answer?: unknown;
  answerCount: number;
  /** It was told that it was not done. */
  isRefused: boolean;
}

/** The writes of a test. */
export class Ledger {
  readonly #entries = new Map<number, Entry>();
  readonly #errors = new Map<string, number>();
  #moment = 0;
  #answers = 0;
  #isStopped = false;

  /** The number of the next write. */
  get next(): number {
    return this.#entries.size + 1;
  }

  /** The first write that was not answered twice. */
  get unsettled(): number {
    for (const [n, { answerCount }] of this.#entries) if (answerCount < 2) return n;
    return this.next;
  }

  /** A write is sent, for the first time. */
  onSent(n: number, kind: WriteKind): void {
    assertEquals(n, this.next);
    this.#entries.set(n, {
      ...{ rowCount: rowCountOf(kind), sentAt: this.#moment++, answeredAt: Infinity },
      ...{ answerCount: 0, isRefused: false },
    });
  }

  /** A write is answered, as it was before. */
  onAnswered(n: number, answer: unknown): void {
    const entry = this.#entries.get(n)!;
    this.#answers++;
    if (entry.answerCount++ > 0) {
      return assertEquals(answer, entry.answer, `the write ${n} was answered in two ways`);
    }
    entry.answer = answer;
    entry.answeredAt = this.#moment++;
  }

  /** Waits until something more was answered. */
  async progress(): Promise<void> {
    const before = this.#answers;
    await until("a write is answered", () => this.#answers > before);
  }

  /** Writers finish what they are at. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Writes of random kinds until the ledger is stopped. `ready` gives a way to the database once there is one. */
  async write(ready: () => Promise<Access>, random: Random): Promise<void> {
    while (!this.#isStopped) {
      const kind = random.pick(WRITE_KINDS);
      const n = this.next;
      this.onSent(n, kind);
      if (isKeyed(kind)) await this.#untilAnswered(n, kind, ready);
      else await this.#once(n, kind, await ready());
    }
  }

  /** A write without a key: if it is not answered, nobody knows, unless it was told that it was not done. */
  async #once(n: number, kind: WriteKind, access: Access): Promise<void> {
    try {
      this.onAnswered(n, await write(access, kind, n));
    } catch (error) {
      this.#entries.get(n)!.isRefused = NOT_DONE.includes(await this.#lose(error));
    }
  }

  /** A write with a key is sent until it is answered, and once more. */
  async #untilAnswered(n: number, kind: WriteKind, ready: () => Promise<Access>): Promise<void> {
    for (let answers = 0; answers < 2;) {
      try {
        this.onAnswered(n, await write(await ready(), kind, n));
        answers++;
      } catch (error) {
        await this.#lose(error);
      }
    }
  }

  async #lose(error: unknown): Promise<string> {
    const name = lossOf(error);
    this.#errors.set(name, (this.#errors.get(name) ?? 0) + 1);
    await pause(RETRY_MS);
    return name;
  }

  /** Writes once more, and waits until that was told: everything before it was told by then. */
  async close(
    access: Access,
    subscribers: readonly Subscriber[],
    toldMsMax?: number,
  ): Promise<void> {
    const n = this.next;
    this.onSent(n, "insert");
    this.onAnswered(n, await write(access, "insert", n));
    const isTold = () => subscribers.every((one) => one.has(n));
    await until("the last write is told", isTold, toldMsMax);
  }

  /** Checks what is in the database, and that it is what subscribers were told. */
  async check(access: Access, subscribers: readonly Subscriber[]): Promise<void> {
    const { rows } = await access.execute([NARROW, []]);
    const [tally, ...written] = rows.map((row) => row.map(Number) as [number, number, number]);
    const found = Map.groupBy(written, ([, n]) => n);
    for (const [n, { rowCount, answeredAt, isRefused }] of this.#entries) {
      const parts = found.get(n)?.map(([, , part]) => part);
      if (parts === undefined) assert(answeredAt === Infinity, `the write ${n} is lost`);
      else {
        const whole = Array.from({ length: rowCount }, (_, part) => part);
        assertEquals(parts, whole, `the write ${n} is not there once and whole`);
        assert(!isRefused, `the write ${n} is there, and was said not to be done`);
      }
    }
    const unknown = [...found.keys()].filter((n) => !this.#entries.has(n));
    assertEquals(unknown, [], "what nobody wrote");
    const tallied = [...found.keys()].filter((n) => this.#entries.get(n)!.rowCount > 1).length;
    assertEquals(tally, [1, 0, tallied], "the tally");
    for (const subscriber of subscribers) {
      assertEquals(subscriber.rows, [tally!, ...written], "what was told is another table");
      this.#checkTold(subscriber);
    }
  }

  /** Transactions were told whole, and none before one that was answered before it was sent. */
  #checkTold(subscriber: Subscriber): void {
    let sentAtMax = -1;
    for (const changes of subscriber.transactions) {
      const rows = Map.groupBy(changes, ({ after }) => Number(after![1]));
      let raise = 0;
      for (const [n, { length }] of rows) {
        if (n === 0) continue;
        const { rowCount, sentAt, answeredAt } = this.#entries.get(n)!;
        assertEquals(length, rowCount, `the write ${n} was not told as a whole`);
        assert(answeredAt > sentAtMax, `the write ${n} was told after what was sent later`);
        sentAtMax = Math.max(sentAtMax, sentAt);
        if (rowCount > 1) raise++;
      }
      const raised = rows.get(0)?.map(({ before, after }) =>
        Number(after![2]) - Number(before![2])
      );
      assertEquals(raised ?? [], raise > 0 ? [raise] : [], "the tally in a transaction");
    }
  }

  /** What happened, for a person. */
  summary(): string {
    const answered = [...this.#entries.values()].filter(({ answerCount }) => answerCount > 0);
    const errors = [...this.#errors].map(([name, count]) => `${count} ${name}`).join(", ");
    return `${this.#entries.size} writes, ${answered.length} answered, ${this.#answers} answers; ${
      errors || "no errors"
    }`;
  }
}
