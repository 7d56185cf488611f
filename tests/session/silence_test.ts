// A silent session costs nothing but its keep-alive: no core asks to be called for anything else.

import { assert, assertEquals } from "@std/assert";
import { NEVER } from "../../src/base/core.ts";
import { SqpPair, type SqpPairOptions } from "../harness/sqp_pair.ts";

const HOUR_MS = 3_600_000;

/** Keys that were replaced are kept for four minutes at most (RFC 9147 section 4.2.1), and then forgotten. */
const OLD_KEYS_MS = 300_000;

/** Longer than any test: what is announced as never. */
const NEVER_MS = 2_147_483_647;

/** A pair that has done something of everything, and has gone quiet since. */
function quiet(options: SqpPairOptions = {}): SqpPair {
  const pair = new SqpPair(options).connect();
  for (const sql of ["echo", "rows 3000 1000", "fail syntax", "write w"]) pair.client.ask(sql);
  pair.answerAll();
  pair.client.cancel(pair.client.ask("hang"));
  pair.client.stack.association.updateKeys({ requestPeer: true });
  pair.advance(OLD_KEYS_MS);
  return pair;
}

/** Counts how often each core runs its timers, and what is sent, within some time. */
function countTicks(pair: SqpPair, ms: number): { ticks: number; datagrams: number } {
  let ticks = 0;
  let datagrams = 0;
  const cores = [pair.endpoint, ...pair.clients.map(({ stack }) => stack)];
  for (const core of cores) {
    const handleTimeout = core.handleTimeout.bind(core);
    core.handleTimeout = (now) => {
      ticks++;
      handleTimeout(now);
    };
  }
  pair.onDatagram = () => datagrams++;
  pair.advance(ms);
  return { ticks, datagrams };
}

Deno.test("a session without keep-alive is silent for an hour: no timer runs, nothing is sent", () => {
  const limits = { heartbeatMs: NEVER_MS, idleMs: NEVER_MS };
  const pair = quiet({ sessionLimits: limits, clients: [{ limits }] });
  assertEquals(countTicks(pair, HOUR_MS), { ticks: 0, datagrams: 0 });
  const { transport } = pair.client.stack;
  assertEquals(transport!.pollTimeout(), NEVER);
  const again = pair.client.ask("echo");
  pair.runUntil(() => again.isOver);
  assertEquals(again.outcome, "done");
  pair.finish();
});

Deno.test("keep-alive is all that a silent session costs: a heartbeat, its reply and their acknowledgements", () => {
  const limits = { heartbeatMs: 10_000, idleMs: 30_000 };
  const pair = quiet({ sessionLimits: limits, clients: [{ limits }] });
  const beats = HOUR_MS / limits.heartbeatMs;
  const { ticks, datagrams } = countTicks(pair, HOUR_MS);
  assert(datagrams >= 3 * beats - 3 && datagrams <= 4 * beats + 4, `${datagrams} datagrams`);
  // The deadline of the heartbeat, that of an acknowledgement, and those that were set before and moved on since.
  assert(ticks <= 4 * beats, `${ticks} ticks`);
  pair.finish();
});

Deno.test("a hundred silent sessions of one endpoint have no timer at all", () => {
  const limits = { heartbeatMs: NEVER_MS, idleMs: NEVER_MS };
  const clients = Array.from({ length: 100 }, () => ({ limits }));
  const endpointLimits = { sessionsPerPrincipalMax: 1_000, sessionsPerHostMax: 1_000 };
  const pair = new SqpPair({ sessionLimits: limits, clients, endpointLimits }).connect();
  pair.advance(OLD_KEYS_MS);
  assertEquals(countTicks(pair, HOUR_MS), { ticks: 0, datagrams: 0 });
  pair.finish();
});
