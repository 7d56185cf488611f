// The network scenarios as tables: virtual time says what a user waits for, real time what a simulation costs.

import { headOfLine } from "../network/head_of_line.ts";
import { SCENARIOS } from "../network/scenarios.ts";
import { figure, type Table } from "./measure.ts";

const SEED = 1;
const IN_FLIGHT = 64;
const HEAD_OF_LINE_MS = 20_000;

/** Runs each scenario once. */
export function benchNetwork(): Table {
  const rows = SCENARIOS.map(({ name, run }) => {
    const begin = performance.now();
    try {
      const { virtualMs, notes } = run(SEED);
      return [name, figure(virtualMs), figure(performance.now() - begin), notes];
    } catch (error) {
      const [reason] = String(error).split("\n");
      return [name, "-", figure(performance.now() - begin), `FAILED: ${reason}`];
    }
  });
  return {
    title: "Network scenarios, virtual time: 15 ms one way, 10 Mbit/s, queue of 25 packets",
    columns: ["", "virtual ms", "real ms", ""],
    rows,
  };
}

/** Point queries over a lossy link. */
export function benchHeadOfLine(): Table {
  const { perSecond, medianMs, p99Ms, cpu } = headOfLine(SEED, IN_FLIGHT, HEAD_OF_LINE_MS);
  const figures = [perSecond, medianMs, p99Ms, cpu.thread, cpu.process].map(figure);
  return {
    title: "Head of line, virtual time: 40 ms round trip, 2 % loss each way; both ends on one " +
      "thread, and what an answer costs of its time, of the process's with V8's threads",
    columns: ["", "a second", "median ms", "99 % ms", "CPU us each, thread", "process"],
    rows: [[`point query, ${IN_FLIGHT} in flight`, ...figures]],
  };
}
