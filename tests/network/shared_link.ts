// A link that SQP shares with a TCP flow.

import { assert } from "@std/assert";
import { bottleneck, delay } from "../harness/link.ts";
import { SqpPair } from "../harness/sqp_pair.ts";
import { DELAY_MS, link, QUEUE, RATE, rowsOf } from "./scenario.ts";
import { type TcpCongestion, TcpFlow } from "./tcp_flow.ts";

/** What of a full link is data: the share of a segment, less the time after a loss. */
const USED_MIN = 0.9 * (1_448 / 1_500);

/** Who shares, and for how long. */
export interface Sharing {
  readonly seed: number;
  readonly congestion: TcpCongestion;
  /** How long TCP has the link alone. */
  readonly beforeMs: number;
  /** How long both find their place, and then how long is measured. */
  readonly settleMs: number;
  readonly measureMs: number;
}

/** The share of a bulk stream of SQP. Throws where it is not 35 to 65 %, or where the two leave the link empty. */
export function sharedLink(sharing: Sharing): number {
  const { seed, congestion, beforeMs, settleMs, measureMs } = sharing;
  const shared = bottleneck(RATE, QUEUE);
  const pair = new SqpPair({ seed, toServer: link, toClient: () => [shared, delay(DELAY_MS)] });
  const { counters } = pair.linksOf(pair.client).toClient;
  const context = { random: pair.random.fork(), counters };
  const tcp = new TcpFlow(pair, shared, context, { delayMs: DELAY_MS, congestion });
  pair.connect();
  tcp.start();
  // A seed is a moment: nothing else of this network is left to chance.
  pair.advance(beforeMs + pair.random.integer(0, 1_000));
  const asked = pair.client.ask(rowsOf(1_250 * (settleMs + measureMs)));
  pair.advance(settleMs);
  const received = () => pair.client.stack.transport!.stats().sessionBytesReceived;
  const begin = { sqp: received(), tcp: tcp.arrivedBytes };
  pair.advance(measureMs);
  const [sqp, other] = [received() - begin.sqp, tcp.arrivedBytes - begin.tcp];
  const share = sqp / (sqp + other);
  assert(!asked.isOver && share >= 0.35 && share <= 0.65, `${share}`);
  assert(sqp + other >= USED_MIN * (RATE / 8_000) * measureMs, `${sqp} and ${other} bytes`);
  tcp.isStopped = true;
  pair.client.cancel(asked);
  pair.finish();
  return share;
}
