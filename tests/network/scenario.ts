// What the network scenarios share: links, a measured transfer, figures.

import { assert, assertEquals } from "@std/assert";
import { bottleneck, delay, type LinkNode } from "../harness/link.ts";
import type { Asked } from "../harness/sqp_client.ts";
import { streamRow } from "../harness/sqp_engine.ts";
import { SqpPair, type SqpPairOptions } from "../harness/sqp_pair.ts";

/** The rate of the link of the QUIC interop runner, in bits a second, its one-way delay and its queue. */
export const RATE = 10_000_000;
export const DELAY_MS = 15;
export const QUEUE = 25;

/** What became of a scenario. */
export interface Figures {
  /** Virtual time from the first datagram to the last answer. */
  readonly virtualMs: number;
  /** What else is worth knowing, in a few words. */
  readonly notes: string;
}

/** A scenario: throws where something is not as it must be. */
export interface Scenario {
  readonly name: string;
  /** Runs it over a network that a seed shapes. */
  readonly run: (seed: number) => Figures;
}

/** The link of the QUIC interop runner, with `more` nodes in front. */
export function link(...more: readonly LinkNode[]): LinkNode[] {
  return [...more, bottleneck(RATE, QUEUE), delay(DELAY_MS)];
}

/** Both directions alike. */
export function bothWays(nodes: () => LinkNode[]): Pick<SqpPairOptions, "toServer" | "toClient"> {
  return { toServer: nodes, toClient: nodes };
}

const ROW_BYTES = 1_000;

/** The statement for a result of about so many bytes. */
export function rowsOf(totalBytes: number): string {
  return `rows ${Math.round(totalBytes / ROW_BYTES)} ${ROW_BYTES}`;
}

/** Checks that a result is exactly what the statement gives. */
export function checkRows(asked: Asked): void {
  assert(asked.isDone, `${asked.sql} ends as ${asked.outcome}`);
  const count = Number(asked.sql.split(" ")[1]);
  assertEquals(asked.rows.length, count);
  for (let index = 0; index < count; index++) {
    const [expected, row] = [streamRow(index, ROW_BYTES), asked.rows[index]!];
    if (row[0] !== expected[0] || row[1] !== expected[1]) throw new Error(`row ${index} differs`);
  }
}

/** What a transfer of results at once may take. */
export interface Transfer {
  readonly totalBytes: readonly number[];
  /** Somewhat more than what it takes, so that a transport that has become slow is noticed. */
  readonly withinMs: number;
}

/** Transfers results, checks them, and ends everything in order. */
export function transfer(options: SqpPairOptions, { totalBytes, withinMs }: Transfer): Figures {
  const pair = new SqpPair(options);
  const begin = pair.now;
  const all = totalBytes.map((bytes) => pair.client.ask(rowsOf(bytes)));
  pair.answerAll();
  all.forEach(checkRows);
  const virtualMs = pair.now - begin;
  assert(virtualMs <= withinMs, `${Math.round(virtualMs)} ms`);
  const notes = transferNotes(pair, totalBytes.reduce((a, b) => a + b), virtualMs);
  pair.finish();
  return { virtualMs, notes };
}

/** Megabits of results a second, and the share of packets that were lost, of those the server sent. */
export function transferNotes(pair: SqpPair, totalBytes: number, virtualMs: number): string {
  const stats = pair.serverSide(pair.client)?.stack.transport?.stats();
  const megabits = (totalBytes * 8) / 1_000 / virtualMs;
  const lost = stats === undefined ? 0 : (100 * stats.packetsLost) / stats.packetsSent;
  return `${megabits.toFixed(2)} Mbit/s, ${lost.toFixed(1)} % lost`;
}
