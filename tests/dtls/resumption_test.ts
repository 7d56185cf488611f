// Resumption by ticket and by external PSK: what is resumed, what is not, and that nothing fails because of it.

import { suiteParameters } from "../../src/dtls/cipher_suites.ts";
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { utf8Bytes } from "../../src/base/bytes.ts";
import { HandshakeType } from "../../src/dtls/code_points.ts";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import {
  CipherSuite,
  decodeSession,
  DtlsAssociation,
  type DtlsClientOptions,
  type DtlsEvent,
  DtlsFault,
  type DtlsServerOptions,
  type DtlsSession,
  encodeSession,
  NamedGroup,
  TicketKeys,
} from "../../src/dtls/mod.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import {
  CA_CREDENTIAL,
  CLIENT_CREDENTIAL,
  credential,
  OTHER_CA_CREDENTIAL,
  SERVER_CREDENTIAL,
  trusting,
} from "../harness/credentials.ts";
import {
  type Change,
  CLIENT_DEFAULTS,
  closeAfterTest,
  DtlsPair,
  type PairOptions,
  SERVER_DEFAULTS,
} from "../harness/dtls_pair.ts";
import { Random } from "../harness/random.ts";
import { type Ends, firstAssociation, sessionsOf, ticketKeys } from "../harness/resumption.ts";

const MUTUAL: Ends = {
  client: { credentials: [credential(CLIENT_CREDENTIAL)], alpn: ["sqp/1"] },
  server: { clientCertificate: "required", alpn: ["sqp/1"] },
};

/** A first association with these options, and another one that offers its session, with changed ones. */
function resume(
  options: Ends & { tickets?: TicketKeys },
  change: {
    readonly client?: Change<DtlsClientOptions>;
    readonly server?: Change<DtlsServerOptions>;
    readonly session?: (session: DtlsSession) => DtlsSession;
    readonly links?: Pick<PairOptions, "toClient" | "toServer">;
  } = {},
) {
  const tickets = options.tickets ?? ticketKeys();
  const server = { ...options.server, tickets };
  const { first, session } = firstAssociation({ client: options.client ?? {}, server });
  const second = new DtlsPair({
    seed: 2,
    beginMs: first.simulation.now,
    client: {
      ...options.client,
      session: change.session?.(session) ?? session,
      ...change.client,
    },
    server: { ...server, ...change.server },
    ...change.links,
  }).handshake();
  second.simulation.advance(100);
  return { first, session, second };
}

/** Both ends are connected, and agree on whether the session was resumed. */
function assertConnected(pair: DtlsPair, isResumed: boolean): void {
  const server = pair.server.association!;
  assertEquals([pair.client.state, server.state], ["connected", "connected"]);
  assertEquals([pair.client.isResumed, server.isResumed], [isResumed, isResumed]);
  const exported = (end: typeof server) => end.exportKeyingMaterial("label", undefined, 32);
  assertEquals(exported(pair.client), exported(server));
  pair.send("client", utf8Bytes("ping"));
  pair.send("server", utf8Bytes("pong"));
  pair.simulation.advance(50);
  assertEquals(pair.received("server").at(-1), utf8Bytes("ping"));
  assertEquals(pair.received("client").at(-1), utf8Bytes("pong"));
}

Deno.test("a session is resumed: no certificate is sent, and both ends know the peer's chain", () => {
  const { first, second } = resume(MUTUAL);
  assertConnected(second, true);
  const flights = second.transcript().join("\n");
  assert(first.transcript().join("\n").includes("CERTIFICATE"));
  assert(!flights.includes("CERTIFICATE"), flights);
  assertEquals(second.client.peerChain, [SERVER_CREDENTIAL.certificate]);
  assertEquals(second.server.association!.peerChain, [CLIENT_CREDENTIAL.certificate]);
  assertEquals(second.client.alpn, "sqp/1");
  assertEquals(second.server.association!.serverName, "localhost");
  assertEquals(sessionsOf(second).length, 2, "and new tickets are given");
});

Deno.test("a resumption has keys of its own, and can be resumed in turn", () => {
  const tickets = ticketKeys();
  const { first, session, second } = resume({ ...MUTUAL, tickets });
  assertNotEquals(second.clientKeyLog, first.clientKeyLog);
  const [next, other] = sessionsOf(second);
  assertNotEquals(next!.secret, session.secret);
  assertNotEquals(next!.secret, other!.secret);
  assertEquals(next!.authenticatedAt, session.authenticatedAt, "when the chain was proved");
  const third = new DtlsPair({
    seed: 3,
    beginMs: second.simulation.now,
    client: { ...MUTUAL.client, session: next! },
    server: { ...MUTUAL.server, tickets },
  }).handshake();
  assertConnected(third, true);
  assertEquals(third.server.association!.peerChain, [CLIENT_CREDENTIAL.certificate]);
});

const SUITES_13 = Object.values(CipherSuite).filter((suite) =>
  suiteParameters(suite)?.version === "1.3"
);

for (const suite of SUITES_13) {
  Deno.test(`a session of suite ${suite.toString(16)} is resumed, from its stored bytes`, () => {
    const cipherSuites = [suite];
    const { second } = resume({ client: { cipherSuites }, server: { cipherSuites } }, {
      session: (session) => decodeSession(encodeSession(session)),
    });
    assertConnected(second, true);
  });
}

Deno.test("a suite with the same hash resumes a session, one with another hash does not", () => {
  const { TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256 } =
    CipherSuite;
  const resumeWith = (...cipherSuites: CipherSuite[]) =>
    resume({ client: { cipherSuites: [TLS_AES_128_GCM_SHA256] } }, { client: { cipherSuites } });
  assertConnected(resumeWith(TLS_CHACHA20_POLY1305_SHA256).second, true);
  assertConnected(resumeWith(TLS_AES_256_GCM_SHA384).second, false);
  const { second } = resume({ client: { cipherSuites: [TLS_AES_128_GCM_SHA256] } }, {
    client: { cipherSuites: [TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384] },
    server: { cipherSuites: [TLS_AES_256_GCM_SHA384] },
  });
  assertConnected(second, false);
});

/** Two ends without an endpoint between them, and so without a cookie, until neither has anything to say. */
function meet(
  client: Change<DtlsClientOptions>,
  server: Change<DtlsServerOptions>,
  now: number,
  onServerDatagram = (bytes: Uint8Array) => bytes,
) {
  const random = new Random(4);
  const entropy = () => random.fork().entropy();
  const ends = {
    client: closeAfterTest(DtlsAssociation.client(
      { ...CLIENT_DEFAULTS, entropy: entropy(), ...client } as DtlsClientOptions,
      now,
    )),
    server: closeAfterTest(DtlsAssociation.server(
      { ...SERVER_DEFAULTS, entropy: entropy(), ...server } as DtlsServerOptions,
      undefined,
      now,
    )),
  };
  for (let turn = 0; turn < 10; turn++) {
    for (let bytes; (bytes = ends.client.pollTransmit(now)) !== undefined;) {
      ends.server.handleDatagram(bytes, now);
    }
    for (let bytes; (bytes = ends.server.pollTransmit(now)) !== undefined;) {
      ends.client.handleDatagram(onServerDatagram(bytes), now);
    }
  }
  return ends;
}

Deno.test("a suite with another hash, which no HelloRetryRequest names before: a full handshake", () => {
  const { TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384 } = CipherSuite;
  const tickets = ticketKeys();
  const { first, session } = firstAssociation({
    client: { cipherSuites: [TLS_AES_128_GCM_SHA256] },
    server: { tickets },
  });
  const client = { session, cipherSuites: [TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384] };
  const server = { tickets, cipherSuites: [TLS_AES_256_GCM_SHA384] };
  const ends = meet(client, server, first.simulation.now);
  assertEquals([ends.client.state, ends.server.state], ["connected", "connected"]);
  assertEquals([ends.client.isResumed, ends.server.isResumed], [false, false]);
  // A server that takes the PSK all the same: "the client MUST abort the handshake with an "illegal_parameter" alert."
  const wrong = meet({ session }, { tickets }, first.simulation.now, (bytes) => {
    if (bytes[13] !== HandshakeType.SERVER_HELLO) return bytes;
    const changed = bytes.slice();
    // The suite follows header, version, random value and an empty session ID.
    changed.set(
      [TLS_AES_256_GCM_SHA384 >>> 8, TLS_AES_256_GCM_SHA384 & 0xff],
      13 + 12 + 2 + 32 + 1,
    );
    return changed;
  });
  const failure = eventsOf(wrong.client).at(-1);
  assert(failure?.kind === "failed" && failure.error instanceof DtlsFault);
  assertEquals(failure.error.message, "the hash of the suite is not the one of the PSK");
});

function eventsOf(association: DtlsAssociation): DtlsEvent[] {
  const events: DtlsEvent[] = [];
  for (let event; (event = association.pollEvent()) !== undefined;) events.push(event);
  return events;
}

Deno.test("RFC 8446 section 4.1.2: a HelloRetryRequest for a group and a cookie, with binders again", () => {
  const { second } = resume({}, {
    client: { keyShareGroups: [NamedGroup.X25519] },
    server: { groups: [NamedGroup.SECP384R1] },
  });
  assertConnected(second, true);
  assertEquals(second.client.group, NamedGroup.SECP384R1);
});

// What a session is bound to, and what else keeps it from being resumed: a full handshake, never a failure.
const DECLINED: Readonly<Record<string, Parameters<typeof resume>[1]>> = {
  "tickets of other keys": { server: { tickets: ticketKeys(51) } },
  "a server without tickets": { server: { tickets: undefined } },
  "a ticket that was changed": {
    session: (session) => {
      const ticket = session.ticket.slice();
      ticket[ticket.length - 1]! ^= 1;
      return { ...session, ticket };
    },
  },
  "another server name": { client: { serverName: "other" } },
  "a session of another server name, offered all the same": {
    client: { serverName: "other" },
    session: (session) => ({ ...session, serverName: "other" }),
  },
  "no server name": {
    client: { serverName: undefined },
    session: (session) => ({ ...session, serverName: undefined }),
  },
  "another protocol": {
    client: { alpn: ["sqp/2"] },
    server: { alpn: ["sqp/2"] },
    session: (session) => ({ ...session, alpn: "sqp/2" }),
  },
  "the server's first choice of protocol is another one now": {
    client: { alpn: ["sqp/1", "sqp/2"] },
    server: { alpn: ["sqp/2", "sqp/1"] },
  },
  "a session of another version": {
    session: (session) => ({ ...session, version: 0xfefd }),
  },
  "a session that is too old": {
    session: (session) => ({ ...session, lifetimeMs: 0 }),
  },
};

for (const [name, change] of Object.entries(DECLINED)) {
  Deno.test(`not resumed, but connected: ${name}`, () => {
    assertConnected(resume(MUTUAL, change).second, false);
  });
}

Deno.test("the server's chain is verified again: a client that trusts it no more does not offer the session", () => {
  const { second } = resume({}, { client: { verifyPeer: trusting(OTHER_CA_CREDENTIAL) } });
  const offer = second.transcript().find((line) => line.includes("CERTIFICATE"));
  assert(offer !== undefined, "a full handshake, in which the chain is refused as well");
  assertEquals(second.client.state, "closing");
});

Deno.test("the client's chain is verified again: a server that trusts it no more asks for another one", () => {
  const { second } = resume(MUTUAL, { server: { verifyPeer: trusting(OTHER_CA_CREDENTIAL) } });
  assert(second.transcript().join("\n").includes("CERTIFICATE_REQUEST"));
  assertNotEquals(second.server.association!.state, "connected");
  const lenient = resume(MUTUAL, {
    server: { verifyPeer: trusting(OTHER_CA_CREDENTIAL), reverifyPeer: false },
  });
  assertConnected(lenient.second, true);
});

Deno.test("a session without a client's chain is not resumed where one is required", () => {
  const client = { credentials: [credential(CLIENT_CREDENTIAL)] };
  const { second } = resume({ client }, { server: { clientCertificate: "required" } });
  assertConnected(second, false);
  assertEquals(second.server.association!.peerChain, [CLIENT_CREDENTIAL.certificate]);
});

Deno.test("rotated keys, and tickets that have expired: resumed for a lifetime, a full handshake after it", () => {
  const lifetimeMs = 3_600_000;
  const tickets = new TicketKeys({
    provider: nodeProvider,
    entropy: new Random(50).entropy(),
    lifetimeMs,
    rotationMs: 1_000_000,
  }, EPOCH_MS);
  const server = { tickets };
  const { session } = firstAssociation({ server });
  const again = (afterMs: number, kept = session) =>
    new DtlsPair({ beginMs: EPOCH_MS + afterMs, client: { session: kept }, server }).handshake();
  // Keys rotate three times in that time.
  assertConnected(again(1_500_000), true);
  assertConnected(again(lifetimeMs - 10_000), true);
  assertConnected(again(lifetimeMs + 10_000), false);
  // A client that goes by a longer life than the server's.
  const longer = { ...session, lifetimeMs: 2 * lifetimeMs };
  assertConnected(again(lifetimeMs + 20_000, longer), false);
});

Deno.test("tickets: as many as the option says, none where there are no keys for them", () => {
  const given = (server: Change<DtlsServerOptions>) => {
    const pair = new DtlsPair({ server }).handshake();
    pair.settle();
    assertEquals(pair.server.association!.isHandshakeConfirmed, true, "they were acknowledged");
    return sessionsOf(pair).length;
  };
  const tickets = ticketKeys();
  assertEquals(given({}), 0);
  assertEquals(given({ tickets }), 2);
  assertEquals(given({ tickets, ticketsPerHandshake: 0 }), 0);
  assertEquals(given({ tickets, ticketsPerHandshake: 5 }), 5);
});

// External PSKs

const PSK = { identity: utf8Bytes("psk1"), key: utf8Bytes("ABCD".repeat(8)) };
const OTHER_PSK = { identity: utf8Bytes("psk2"), key: utf8Bytes("EFGH".repeat(8)) };

for (const isImported of [true, false]) {
  for (const hash of ["sha256", "sha384"] as const) {
    Deno.test(`external PSK of ${hash}, imported: ${isImported}, without certificates`, () => {
      const externalPsks = [{ ...PSK, hash, isImported }];
      const verifyPeer = undefined;
      const cipherSuites = [
        hash === "sha256" ? CipherSuite.TLS_AES_128_GCM_SHA256 : CipherSuite.TLS_AES_256_GCM_SHA384,
      ];
      const psks = { externalPsks, verifyPeer, cipherSuites };
      const tickets = ticketKeys();
      const pair = new DtlsPair({
        client: psks,
        server: { ...psks, credentials: [], tickets },
      }).handshake();
      assertConnected(pair, false);
      assertEquals(pair.client.pskIdentity, PSK.identity);
      assertEquals(pair.server.association!.pskIdentity, PSK.identity);
      assertEquals(pair.server.association!.peerChain, []);
      const resumed = new DtlsPair({
        seed: 2,
        beginMs: pair.simulation.now,
        client: { ...psks, session: sessionsOf(pair)[0] },
        server: { ...psks, credentials: [], tickets },
      }).handshake();
      assertConnected(resumed, true);
      assertEquals(resumed.server.association!.pskIdentity, PSK.identity);
    });
  }
}

Deno.test("an imported PSK is for suites of either hash", () => {
  for (const suite of SUITES_13) {
    const pair = new DtlsPair({
      client: { externalPsks: [PSK] },
      server: { externalPsks: [PSK], cipherSuites: [suite] },
    }).handshake();
    assertConnected(pair, false);
    assertEquals(pair.client.pskIdentity, PSK.identity);
  }
});

Deno.test("PSKs that the ends do not share, or a PSK after the certificate: the certificate", () => {
  for (
    const server of [
      { externalPsks: [OTHER_PSK] },
      { externalPsks: [PSK], isPskPreferred: false },
    ]
  ) {
    const pair = new DtlsPair({ client: { externalPsks: [PSK] }, server }).handshake();
    assertConnected(pair, false);
    assertEquals(pair.client.pskIdentity, undefined);
    assertEquals(pair.client.peerChain, [SERVER_CREDENTIAL.certificate]);
  }
});

Deno.test("PSKs with one identity and different keys fail, and say so", () => {
  const pair = new DtlsPair({
    client: { externalPsks: [PSK] },
    server: { externalPsks: [{ ...PSK, key: OTHER_PSK.key }] },
  }).handshake();
  const failure = pair.clientEvents.find(({ kind }) => kind === "failed");
  assert(failure?.kind === "failed");
  assertEquals(failure.error.message, "the peer sent the alert decrypt_error");
});

Deno.test("a PSK that was taken away ends the resumption of what it vouched for", () => {
  const psks = { externalPsks: [PSK, OTHER_PSK] };
  const { second } = resume({ client: psks, server: psks }, {
    server: { externalPsks: [OTHER_PSK] },
  });
  assertConnected(second, false);
  assertEquals(second.server.association!.pskIdentity, OTHER_PSK.identity);
});

Deno.test("trusted CAs are the client's own: the harness's default is accepted", () => {
  const pair = new DtlsPair({ client: { verifyPeer: trusting(CA_CREDENTIAL) } }).handshake();
  assertConnected(pair, false);
});
