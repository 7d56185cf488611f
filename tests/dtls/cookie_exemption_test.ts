// A client that resumes from the host its ticket was made for needs no cookie, once a ticket; everybody else does.

import { assert, assertEquals } from "@std/assert";
import {
  type CookieExemption,
  DtlsAssociation,
  DtlsEndpoint,
  type DtlsSession,
  type EndpointAssociation,
  SingleUseTickets,
} from "../../src/dtls/mod.ts";
import { AMPLIFICATION_MAX } from "../../src/dtls/limits.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import { CLIENT_DEFAULTS, closeAfterTest, SERVER_DEFAULTS } from "../harness/dtls_pair.ts";
import { Random } from "../harness/random.ts";
import { ticketKeys } from "../harness/resumption.ts";

const HOME = "192.0.2.1:50000";

/** An endpoint, and clients of it whose datagrams arrive at once. */
class Lab {
  readonly endpoint: DtlsEndpoint;
  readonly #entries = new Set<EndpointAssociation>();

  constructor(hostOf?: CookieExemption["hostOf"]) {
    const entropy = new Random(7).entropy();
    const tickets = new SingleUseTickets(entropy);
    const cookieExemption = { tickets, ...(hostOf !== undefined && { hostOf }) };
    const options = { ...SERVER_DEFAULTS, entropy, tickets: ticketKeys(), cookieExemption };
    this.endpoint = new DtlsEndpoint(options, EPOCH_MS);
    closeAfterTest(this);
  }

  close(now: number): void {
    for (const { association } of this.#entries) association.close(now);
    this.endpoint.destroy();
  }

  client(seed: number, session?: DtlsSession): DtlsAssociation {
    const entropy = new Random(seed).entropy();
    const options = { ...CLIENT_DEFAULTS, entropy, ...(session !== undefined && { session }) };
    return closeAfterTest(DtlsAssociation.client(options, EPOCH_MS));
  }

  /** What the endpoint makes of a datagram. */
  receive(bytes: Uint8Array, address = HOME): EndpointAssociation | undefined {
    const entry = this.endpoint.handleDatagram(bytes.slice(), address, EPOCH_MS);
    if (entry !== undefined) this.#entries.add(entry);
    return entry;
  }

  /** Carries datagrams until nothing moves. Returns how often the client's datagrams had to wait for an answer. */
  handshake(client: DtlsAssociation, address = HOME): number {
    let turns = 0;
    let entry: EndpointAssociation | undefined;
    for (let isMoving = true; isMoving; turns++) {
      isMoving = false;
      for (let bytes; (bytes = client.pollTransmit(EPOCH_MS)) !== undefined; isMoving = true) {
        entry = this.receive(bytes, address) ?? entry;
      }
      for (let answer; (answer = this.endpoint.pollTransmit()) !== undefined;) {
        client.handleDatagram(answer.bytes, EPOCH_MS);
      }
      for (let bytes; (bytes = entry?.association.pollTransmit(EPOCH_MS)) !== undefined;) {
        client.handleDatagram(bytes, EPOCH_MS);
      }
    }
    assertEquals([client.state, entry?.association.state], ["connected", "connected"]);
    if (entry !== undefined) this.endpoint.settle(entry);
    return turns;
  }

  /** The sessions of a first association. */
  sessions(): DtlsSession[] {
    const client = this.client(1);
    this.handshake(client);
    const sessions: DtlsSession[] = [];
    for (let event; (event = client.pollEvent()) !== undefined;) {
      if (event.kind === "session") sessions.push(event.session);
    }
    assertEquals(sessions.length, 2);
    return sessions;
  }
}

/** Whether a first ClientHello is let in without a cookie, and resumes. */
function isLetIn(lab: Lab, client: DtlsAssociation, address = HOME): boolean {
  const entry = lab.receive(client.pollTransmit(EPOCH_MS)!, address);
  assertEquals(lab.endpoint.pollTransmit() === undefined, entry !== undefined, "one or the other");
  if (entry !== undefined) assert(entry.association.state === "handshaking");
  return entry !== undefined;
}

Deno.test("each ticket lets its client in once without a cookie, and saves it a round trip", () => {
  const lab = new Lab();
  const [first, second] = lab.sessions();
  const full = lab.handshake(lab.client(2));
  const resuming = lab.client(3, first!);
  assertEquals(lab.handshake(resuming), full - 1);
  assert(resuming.isResumed);
  const again = lab.client(4, first!);
  assertEquals(lab.handshake(again), full, "the ticket was used");
  assert(again.isResumed);
  assertEquals(lab.handshake(lab.client(5, second!)), full - 1, "another ticket was not");
});

Deno.test("a ticket is good at any port of its host, and at no other host", () => {
  const lab = new Lab();
  const [first, second] = lab.sessions();
  assertEquals(isLetIn(lab, lab.client(2, first!), "192.0.2.2:50000"), false);
  assertEquals(isLetIn(lab, lab.client(3, first!), "192.0.2.1:1"), true, "which used nothing");
  const strict = new Lab((address) => address);
  const [third] = strict.sessions();
  assertEquals(isLetIn(strict, strict.client(4, third!), "192.0.2.1:1"), false);
  assertEquals(isLetIn(lab, lab.client(5, second!)), true);
});

Deno.test("a ClientHello whose binder is wrong uses nothing up", () => {
  const lab = new Lab();
  const [session] = lab.sessions();
  const stranger = { ...session!, secret: session!.secret.map((byte) => byte ^ 1) };
  assertEquals(isLetIn(lab, lab.client(2, stranger)), false);
  assertEquals(isLetIn(lab, lab.client(3, session!)), true);
});

Deno.test("a ClientHello that arrives twice is answered by one association", () => {
  const lab = new Lab();
  const [session] = lab.sessions();
  const client = lab.client(2, session!);
  const hello = client.pollTransmit(EPOCH_MS)!;
  const entry = lab.receive(hello, "192.0.2.1:1");
  assert(entry !== undefined);
  const before = lab.endpoint.associationCount;
  assertEquals(lab.receive(hello, "192.0.2.1:1"), entry);
  assertEquals(lab.receive(hello, "192.0.2.1:2"), undefined, "and from elsewhere by no other");
  assertEquals(lab.endpoint.associationCount, before);
});

Deno.test("without a cookie at most three times the bytes are sent before the client has answered", () => {
  const lab = new Lab();
  const [session] = lab.sessions();
  const hello = lab.client(2, session!).pollTransmit(EPOCH_MS)!;
  const { association } = lab.receive(hello, "192.0.2.1:1")!;
  let sentBytes = 0;
  let now = EPOCH_MS;
  for (let turn = 0; turn < 50 && association.state === "handshaking"; turn++) {
    for (let bytes; (bytes = association.pollTransmit(now)) !== undefined;) {
      sentBytes += bytes.length;
    }
    now = Math.max(now, Math.min(association.pollTimeout(), now + 60_000));
    association.handleTimeout(now);
  }
  assert(sentBytes > 0 && sentBytes <= AMPLIFICATION_MAX * hello.length, `${sentBytes}`);
});

Deno.test("an endpoint without the exemption asks everybody for a cookie", () => {
  const lab = new Lab();
  const [session] = lab.sessions();
  const entropy = new Random(8).entropy();
  const options = { ...SERVER_DEFAULTS, entropy, tickets: ticketKeys() };
  const endpoint = new DtlsEndpoint(options, EPOCH_MS);
  const hello = lab.client(2, session!).pollTransmit(EPOCH_MS)!;
  assertEquals(endpoint.handleDatagram(hello, HOME, EPOCH_MS), undefined);
  assert(endpoint.pollTransmit() !== undefined);
  endpoint.destroy();
});
