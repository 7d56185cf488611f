// Measuring: rates, latencies, and the tables that show them.

import { fastestProvider } from "../../src/dtls/crypto/composed.ts";
import { nobleProvider } from "../../src/dtls/crypto/noble.ts";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import type { CryptoProvider } from "../../src/dtls/crypto/provider.ts";
import { openOpensslProvider } from "../../src/dtls_runtime/openssl.ts";

const openssl = openOpensslProvider();
const others = openssl === undefined ? [] : [openssl];

/** The crypto providers that are measured: each alone, and before them the composition of the fastest. */
export const PRESENT_PROVIDERS: readonly CryptoProvider[] = [
  fastestProvider(...others),
  ...others,
  nodeProvider,
  nobleProvider,
];

/** Lines of cells under a title; every line has as many cells as there are columns. */
export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** A rate, and how long single operations took, in milliseconds. */
export interface Measured {
  readonly perSecond: number;
  readonly medianMs: number;
  readonly p99Ms: number;
}

/** Rounds of one measurement, of which the fastest counts: others use the machine as well, and leave it for moments. */
const ROUND_COUNT = 20;

/** How often a second an operation runs, measured for `durationMs` after a quarter of that to warm up. */
export function measureRate(run: () => void, durationMs: number): number {
  runFor(run, durationMs / 4);
  let best = 0;
  for (let round = 0; round < ROUND_COUNT; round++) {
    best = Math.max(best, runFor(run, durationMs / ROUND_COUNT));
  }
  return best;
}

function runFor(run: () => void, durationMs: number): number {
  const start = performance.now();
  let count = 0;
  let elapsedMs = 0;
  do {
    run();
    count++;
    elapsedMs = performance.now() - start;
  } while (elapsedMs < durationMs);
  return count * 1_000 / elapsedMs;
}

/** Keeps `inFlight` operations under way for a while, and times each. The first quarter does not count. */
export async function measureLatency(
  operation: () => Promise<unknown>,
  inFlight: number,
  durationMs: number,
): Promise<Measured> {
  const begin = performance.now();
  const from = begin + durationMs / 4;
  const until = begin + durationMs;
  const timesMs: number[] = [];
  const work = async () => {
    for (let start = performance.now(); start < until;) {
      await operation();
      const end = performance.now();
      if (start >= from) timesMs.push(end - start);
      start = end;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, work));
  return summary(timesMs, performance.now() - from);
}

/** Sums times up. */
export function summary(timesMs: number[], elapsedMs: number): Measured {
  timesMs.sort((a, b) => a - b);
  const at = (share: number) => timesMs[Math.floor(share * (timesMs.length - 1))] ?? NaN;
  return { perSecond: timesMs.length * 1_000 / elapsedMs, medianMs: at(0.5), p99Ms: at(0.99) };
}

/** A number with about three digits that mean something, thousands separated. */
export function figure(value: number): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return value.toLocaleString("en", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}
