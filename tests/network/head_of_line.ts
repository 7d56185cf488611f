// Head-of-line blocking: point queries always in flight on one session over a lossy link, and what an answer costs.

import process from "node:process";
import { assert } from "@std/assert";
import { delay, loss } from "../harness/link.ts";
import { SqpPair } from "../harness/sqp_pair.ts";
import { bothWays } from "./scenario.ts";

/** 20 ms one way, and 2 % of the datagrams lost each way. */
const nodes = () => [loss(0.02), delay(20)];

/** Answers a second, and percentiles of the time that one took, in milliseconds of virtual time. */
export interface HeadOfLine {
  readonly perSecond: number;
  readonly medianMs: number;
  readonly p99Ms: number;
  /** Processor time of both ends for an answer in microseconds, DTLS and simulation included. */
  readonly cpu: CpuTime;
}

/** Processor time: what others take of this machine's does not count, as it does in time that passes. */
export interface CpuTime {
  /** Of the thread that both ends run on; the system counts it in steps of ten milliseconds. */
  readonly thread: number;
  /** Of the process: with what V8's own threads do for it, which compile and collect garbage. */
  readonly process: number;
}

/** Processor time since the process began, in microseconds. */
function cpuTime(): CpuTime {
  const [thread, whole] = [process.threadCpuUsage(), process.cpuUsage()];
  return { thread: thread.user + thread.system, process: whole.user + whole.system };
}

/** Keeps `inFlight` point queries under way for `durationMs` of virtual time, after a second to warm up. */
export function headOfLine(seed: number, inFlight: number, durationMs: number): HeadOfLine {
  const pair = new SqpPair({ seed, ...bothWays(nodes) });
  pair.connect();
  const from = pair.now + 1_000;
  const until = from + durationMs;
  const timesMs: number[] = [];
  let open = 0;
  let next = 1;
  const ask = () => {
    const begin = pair.now;
    open++;
    const asked = pair.client.ask("echo", {
      params: [next++, "a value of a point query", 3.25],
      onEnd: () => {
        open--;
        assert(asked.isDone, asked.outcome);
        if (begin >= from && pair.now <= until) timesMs.push(pair.now - begin);
        if (pair.now < until) ask();
      },
    });
  };
  const before = cpuTime();
  for (let i = 0; i < inFlight; i++) ask();
  pair.runUntil(() => open === 0, 2 * durationMs + 60_000);
  const after = cpuTime();
  const answers = next - 1;
  const cpu = {
    thread: (after.thread - before.thread) / answers,
    process: (after.process - before.process) / answers,
  };
  pair.finish();
  timesMs.sort((a, b) => a - b);
  const at = (share: number) => timesMs[Math.floor(share * (timesMs.length - 1))]!;
  const perSecond = (1_000 * timesMs.length) / durationMs;
  return { perSecond, medianMs: at(0.5), p99Ms: at(0.99), cpu };
}
