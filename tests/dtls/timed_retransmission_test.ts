// The retransmission policy `timed`: the timers alone send again, and they can be changed while they run.

import { assert, assertEquals } from "@std/assert";
import { DtlsAssociation } from "../../src/dtls/mod.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import { CLIENT_DEFAULTS, closeAfterTest, DtlsPair } from "../harness/dtls_pair.ts";
import { delay, lossOf } from "../harness/link.ts";
import { Random } from "../harness/random.ts";

const TIMED = { retransmission: "timed", limits: { initialTimeoutMs: 400 } } as const;

/** A client that nobody answers, its ClientHello sent. */
function lonelyClient(): DtlsAssociation {
  const entropy = new Random(1).entropy();
  const options = { ...CLIENT_DEFAULTS, ...TIMED, entropy };
  const client = closeAfterTest(DtlsAssociation.client(options, EPOCH_MS));
  drain(client, EPOCH_MS);
  return client;
}

function drain(client: DtlsAssociation, now: number): Uint8Array[] {
  const datagrams: Uint8Array[] = [];
  for (let one; (one = client.pollTransmit(now)) !== undefined;) datagrams.push(one);
  return datagrams;
}

Deno.test("a lost flight comes again on the plain schedule, whatever round trip was measured", () => {
  // A round trip of 20 ms is measured with the HelloRetryRequest; the second ClientHello is lost.
  const pair = new DtlsPair({
    client: TIMED,
    server: TIMED,
    toServer: [lossOf((index) => index === 1), delay(10)],
  }).handshake();
  const hellos = pair.sent.filter((_, i) => pair.transcript()[i]!.includes("CLIENT_HELLO#1"));
  assertEquals(hellos.map(({ at }) => at - EPOCH_MS), [20, 420]);
});

Deno.test("a peer's retransmission brings nothing before this side's own timer does", () => {
  const pair = new DtlsPair({
    // Its second ClientHello comes again 250 ms after the first time, to a server that waits for 400 ms.
    client: { ...TIMED, limits: { initialTimeoutMs: 250 } },
    server: TIMED,
    toClient: [lossOf((index) => index === 1), delay(10)],
  }).handshake();
  const flights = pair.sent.filter((_, i) => pair.transcript()[i]!.includes("SERVER_HELLO#1"));
  assertEquals(flights.map(({ at }) => at - EPOCH_MS), [30, 430]);
});

Deno.test("the first timeout can be changed while it runs, and stays doubled as often as it was", () => {
  const client = lonelyClient();
  assertEquals(client.nextSendAt, EPOCH_MS + 400);
  client.setInitialTimeout(200);
  assertEquals(client.nextSendAt, EPOCH_MS + 200);
  client.handleTimeout(EPOCH_MS + 200);
  assertEquals(drain(client, EPOCH_MS + 200).length, 1);
  assertEquals(client.nextSendAt, EPOCH_MS + 200 + 2 * 200);
  client.setInitialTimeout(400);
  assertEquals(client.nextSendAt, EPOCH_MS + 200 + 2 * 400);
});

Deno.test("the size of datagrams can be changed while a flight is open", () => {
  const client = lonelyClient();
  client.setDatagramBytesMax(150);
  client.handleTimeout(EPOCH_MS + 400);
  const datagrams = drain(client, EPOCH_MS + 400);
  assert(datagrams.length > 1);
  assert(datagrams.every(({ length }) => length <= 150));
  // Each but the last is full: what does not fit one goes on in the next.
  assert(datagrams.slice(0, -1).every(({ length }) => length === 150));
});
