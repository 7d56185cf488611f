// Resumption in DTLS 1.2, by ticket and by session ID: what is resumed, what is not, and that nothing fails because of
// it.

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import {
  CipherSuite,
  decodeSession,
  type DtlsClientOptions,
  type DtlsServerOptions,
  type DtlsSession,
  encodeSession,
  SessionCache,
  TICKET_LIFETIME_MS,
} from "../../src/dtls/mod.ts";
import { errorReason } from "../../src/dtls/errors.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import {
  CA_CREDENTIAL,
  CLIENT_CREDENTIAL,
  credential,
  OTHER_CA_CREDENTIAL,
  SERVER_CREDENTIAL,
  trusting,
} from "../harness/credentials.ts";
import { type Change, DtlsPair, type PairOptions } from "../harness/dtls_pair.ts";
import { in12, outline, resumingBy, sessionsOf } from "../harness/sessions_12.ts";

const MUTUAL: PairOptions = in12({
  client: { credentials: [credential(CLIENT_CREDENTIAL)], alpn: ["sqp/1"], connectionId: null },
  server: { clientCertificate: "required", alpn: ["sqp/1"] },
});

/** A first association with these options, and another one that offers its session, with changed ones. */
function resume(
  options: PairOptions,
  change: {
    readonly client?: Change<DtlsClientOptions>;
    readonly server?: Change<DtlsServerOptions>;
    readonly session?: (session: DtlsSession) => DtlsSession;
    readonly afterMs?: number;
  } = {},
) {
  const first = new DtlsPair({ ...options, seed: 1 }).handshake();
  first.simulation.advance(100);
  const [session] = sessionsOf(first);
  assert(session !== undefined, "a session was given");
  const second = new DtlsPair({
    seed: 2,
    beginMs: first.simulation.now + (change.afterMs ?? 0),
    client: { ...options.client, session: change.session?.(session) ?? session, ...change.client },
    server: { ...options.server, ...change.server },
  }).handshake();
  second.simulation.advance(100);
  return { first, session, second };
}

/** Both ends are connected in DTLS 1.2, and agree on whether the session was resumed. */
function assertConnected(pair: DtlsPair, isResumed: boolean): void {
  const server = pair.server.association!;
  assertEquals([pair.client.state, server.state], ["connected", "connected"]);
  assertEquals([pair.client.version, server.version], ["1.2", "1.2"]);
  assertEquals([pair.client.isResumed, server.isResumed], [isResumed, isResumed]);
  const exported = (end: typeof server) => end.exportKeyingMaterial("label", undefined, 32);
  assertEquals(exported(pair.client), exported(server));
  pair.send("client", new Uint8Array([1]));
  pair.send("server", new Uint8Array([2]));
  pair.simulation.advance(50);
  assertEquals([pair.received("server").length, pair.received("client").length], [1, 1]);
}

for (const kind of ["ticket", "ID"] as const) {
  const options = (): PairOptions => ({
    ...MUTUAL,
    server: { ...MUTUAL.server, ...resumingBy(kind) },
  });

  Deno.test(`by ${kind}: no certificate is sent, and both ends know the peer's chain`, () => {
    const { first, session, second } = resume(options());
    assertConnected(first, false);
    assertConnected(second, true);
    assertEquals(outline(second).slice(2, 5), [
      "C CLIENT_HELLO",
      "S SERVER_HELLO CHANGE_CIPHER_SPEC 1:HANDSHAKE",
      "C CHANGE_CIPHER_SPEC 1:HANDSHAKE",
    ]);
    assertEquals(second.client.peerChain, [SERVER_CREDENTIAL.certificate]);
    assertEquals(second.server.association!.peerChain, [CLIENT_CREDENTIAL.certificate]);
    assertEquals([second.client.alpn, second.server.association!.serverName], [
      "sqp/1",
      "localhost",
    ]);
    const isTicket = kind === "ticket";
    assertEquals([session.ticket.length > 0, session.sessionId.length], [
      isTicket,
      isTicket ? 0 : 32,
    ]);
  });

  Deno.test(`by ${kind}: keys are new, and the session is good for the next time`, () => {
    const { first, session, second } = resume(options());
    const exported = ({ client }: DtlsPair) => client.exportKeyingMaterial("label", undefined, 32);
    assertNotEquals(exported(first), exported(second));
    const [again] = sessionsOf(second);
    assertEquals([again!.secret, again!.ticket, again!.sessionId, again!.authenticatedAt], [
      session.secret,
      session.ticket,
      session.sessionId,
      session.authenticatedAt,
    ]);
  });

  Deno.test(`by ${kind}: from its stored bytes, in every suite`, () => {
    const { TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: aes } = CipherSuite;
    const { TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: chacha } = CipherSuite;
    for (const suite of [CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, aes, chacha]) {
      const base = options();
      const { second } = resume(
        { client: { ...base.client, cipherSuites: [suite] }, server: base.server! },
        { session: (session) => decodeSession(encodeSession(session)) },
      );
      assertConnected(second, true);
      assertEquals(second.client.cipherSuite, suite);
    }
  });

  Deno.test(`by ${kind}: resumption is bound to server name and ALPN (CVE-2026-11703)`, () => {
    const base = options();
    assertConnected(resume(base, { client: { serverName: "other.test" } }).second, false);
    assertConnected(
      resume(base, { client: { alpn: ["b"] }, server: { alpn: ["b"] } }).second,
      false,
    );
    // A client that is made to forget what its session is for.
    const forget = (session: DtlsSession) => ({ ...session, serverName: "other.test" });
    const client = { serverName: "other.test" };
    assertConnected(resume(base, { client, session: forget }).second, false);
    const retarget = (session: DtlsSession) => ({ ...session, alpn: "b" });
    const changed = { client: { alpn: ["b"] }, server: { alpn: ["b"] }, session: retarget };
    assertConnected(resume(base, changed).second, false);
  });

  Deno.test(`by ${kind}: trust is checked again at both ends`, () => {
    const verifyPeer = trusting(OTHER_CA_CREDENTIAL);
    // The client offers nothing, and then refuses the server.
    const distrusting = resume(options(), { client: { verifyPeer } }).second;
    assertEquals(distrusting.client.state === "connected", false);
    const refusing = resume(options(), { server: { verifyPeer } }).second;
    assertEquals(refusing.client.isResumed, false);
    assertEquals(refusing.server.association?.isResumed ?? false, false);
    const both = resume(options(), {
      client: { verifyPeer: trusting(CA_CREDENTIAL, OTHER_CA_CREDENTIAL) },
    });
    assertConnected(both.second, true);
  });

  Deno.test(`by ${kind}: a session without a certificate is none where one is required`, () => {
    const base = in12({ server: { ...resumingBy(kind), clientCertificate: "none" } });
    const { second } = resume(base, {
      client: { credentials: [credential(CLIENT_CREDENTIAL)] },
      server: { clientCertificate: "required" },
    });
    assertConnected(second, false);
    assertEquals(second.server.association!.peerChain, [CLIENT_CREDENTIAL.certificate]);
  });

  Deno.test(`by ${kind}: a suite that is no longer offered or accepted is not resumed`, () => {
    const { TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: other } = CipherSuite;
    assertConnected(resume(options(), { client: { cipherSuites: [other] } }).second, false);
    assertConnected(resume(options(), { server: { cipherSuites: [other] } }).second, false);
  });

  Deno.test(`by ${kind}: too late, or of a server that forgot it, is a full handshake`, () => {
    assertConnected(resume(options(), { afterMs: TICKET_LIFETIME_MS }).second, false);
    assertConnected(
      resume(options(), { server: forgetful(kind) }).second,
      false,
    );
  });

  Deno.test(`by ${kind}: a client that could speak 1.3 by now does`, () => {
    const { second } = resume(options(), {
      client: { versions: ["1.3", "1.2"] },
      server: { versions: ["1.3", "1.2"] },
    });
    assertEquals([second.client.version, second.client.isResumed], ["1.3", false]);
  });

  Deno.test(`by ${kind}: a client that also offers 1.3 resumes with a server of 1.2`, () => {
    const { second } = resume(options(), { client: { versions: ["1.3", "1.2"] } });
    assertConnected(second, true);
  });
}

/** What a server that was restarted resumes with. */
function forgetful(kind: "ticket" | "ID"): Change<DtlsServerOptions> {
  return kind === "ID" ? { sessionCache: new SessionCache() } : { tickets: undefined };
}

Deno.test("a ticket in the second half of its life is renewed", () => {
  const options = { ...MUTUAL, server: { ...MUTUAL.server, ...resumingBy("ticket") } };
  const { session, second } = resume(options, { afterMs: 0.6 * TICKET_LIFETIME_MS });
  assertConnected(second, true);
  const [renewed] = sessionsOf(second);
  assertNotEquals(renewed!.ticket, session.ticket);
  assertEquals(renewed!.authenticatedAt, session.authenticatedAt, "when the chain was proved");
  assertEquals(
    outline(second)[3],
    "S SERVER_HELLO NEW_SESSION_TICKET CHANGE_CIPHER_SPEC 1:HANDSHAKE",
  );
});

Deno.test("a server that makes no tickets, or is to give none, sends none", () => {
  for (const server of [{}, { ...resumingBy("ticket"), ticketsPerHandshake: 0 }]) {
    const pair = new DtlsPair(in12({ server })).handshake();
    pair.simulation.advance(100);
    assertEquals(sessionsOf(pair), []);
  }
});

Deno.test("a damaged ticket, or a strange session ID, is a full handshake", () => {
  const damage = (bytes: Uint8Array) => bytes.map((byte, i) => i === 20 ? byte ^ 1 : byte);
  const change = (session: DtlsSession) => ({
    ...session,
    ticket: damage(session.ticket),
    sessionId: damage(session.sessionId),
  });
  for (const kind of ["ticket", "ID"] as const) {
    const options = { ...MUTUAL, server: { ...MUTUAL.server, ...resumingBy(kind) } };
    assertConnected(resume(options, { session: change }).second, false);
  }
});

Deno.test("another master secret than the server's ends in time", () => {
  const options = { ...MUTUAL, server: { ...MUTUAL.server, ...resumingBy("ticket") } };
  const { second } = resume(options, {
    session: (session) => ({ ...session, secret: new Uint8Array(48) }),
  });
  // Neither end can open what the other one protects.
  const end = second.clientEvents.at(-1);
  assert(end?.kind === "failed" && errorReason(end.error) === "handshake-timeout");
  assertEquals(second.client.isResumed, false);
});

Deno.test("a cache holds so many sessions, for so long, and zeroes what goes", () => {
  const cache = new SessionCache({ sessionsMax: 2, lifetimeMs: 1_000 });
  const state = (byte: number) => ({
    version: 0xfefd,
    suite: 0xc02b,
    secret: new Uint8Array(48).fill(byte),
    serverName: undefined,
    alpn: undefined,
    peerChain: [],
    pskIdentity: undefined,
    authenticatedAt: EPOCH_MS,
    ageAdd: 0,
    earlyDataBytesMax: 0,
  } as const);
  const id = (byte: number) => new Uint8Array(32).fill(byte);
  const [one, two, three] = [state(1), state(2), state(3)];
  cache.put(id(1), one, EPOCH_MS);
  cache.put(id(2), two, EPOCH_MS + 1);
  const copy = cache.get(id(1), EPOCH_MS + 1)!;
  assertEquals(copy.secret, one.secret);
  copy.secret.fill(9);
  assertEquals(cache.get(id(1), EPOCH_MS + 1)!.secret[0], 1);
  cache.put(id(3), three, EPOCH_MS + 2);
  assertEquals([cache.size, cache.get(id(1), EPOCH_MS + 2), one.secret[0]], [2, undefined, 0]);
  assertEquals(cache.get(id(2), EPOCH_MS + 1_001), undefined);
  assertEquals([cache.size, two.secret[0]], [1, 0]);
  cache.clear();
  assertEquals([cache.size, three.secret[0]], [0, 0]);
});
