// The handshakes that the fuzzer begins: one of each kind, with everything that a datagram can meet in it.

import {
  CipherSuite,
  clientVerifier,
  decodeSession,
  DtlsAssociation,
  type DtlsClientOptions,
  DtlsEndpoint,
  type DtlsServerOptions,
  type DtlsSession,
  type DtlsVersion,
  encodeSession,
  type EndpointAssociation,
  NamedGroup,
  serverVerifier,
  SingleUseTickets,
  TicketKeys,
  TrustStore,
} from "../../src/dtls/mod.ts";
import { utf8Bytes } from "../../src/base/bytes.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import { Random } from "../harness/random.ts";
import {
  CA_CREDENTIAL,
  CLIENT_CREDENTIAL,
  credential,
  OTHER_CA_CREDENTIAL,
  P256_SERVER_CREDENTIAL,
  SERVER_CREDENTIAL,
} from "../harness/credentials.ts";
import { cachedCredential, cachedProvider, cachedVerifier } from "./cached_provider.ts";

/** Options of both ends. Signatures are Ed25519 throughout, so that a handshake can be repeated byte for byte. */
export interface Shape {
  readonly name: string;
  readonly client: () => Omit<DtlsClientOptions, "entropy">;
  /** Made anew for each start: keys of tickets count what they have sealed. */
  readonly server: () => Omit<DtlsServerOptions, "entropy">;
}

const store = new TrustStore({ trustAnchors: [CA_CREDENTIAL.certificate] });
const serverCredential = cachedCredential(credential(SERVER_CREDENTIAL));
const clientCredential = cachedCredential(credential(CLIENT_CREDENTIAL));
const MORE = [CA_CREDENTIAL, OTHER_CA_CREDENTIAL, P256_SERVER_CREDENTIAL];

const largeCredential = cachedCredential(
  credential(SERVER_CREDENTIAL, MORE.map(({ certificate }) => certificate)),
);

const CLIENT = {
  provider: cachedProvider,
  verifyPeer: cachedVerifier(serverVerifier(() => store, "localhost")),
  serverName: "localhost",
};
const SERVER = {
  provider: cachedProvider,
  verifyPeer: cachedVerifier(clientVerifier(() => store)),
  credentials: [serverCredential],
};

const V12 = { versions: ["1.2"] } as const;
const MUTUAL_CLIENT = {
  ...CLIENT,
  credentials: [clientCredential],
  connectionId: new Uint8Array([7, 8, 9]),
  alpn: ["other", "sqp/1"],
  groups: [NamedGroup.SECP256R1, NamedGroup.X25519],
};
const PSK = { identity: utf8Bytes("fuzz"), key: new Uint8Array(32).fill(9) };

/** A server that gives tickets, and takes early data from them. */
function ticketServer(): Omit<DtlsServerOptions, "entropy"> {
  const tickets = new TicketKeys(
    { provider: cachedProvider, entropy: new Random(3).entropy() },
    EPOCH_MS,
  );
  const used = new SingleUseTickets(new Random(4).entropy());
  // Those that the first association was given.
  for (let i = 0; i < 2; i++) used.issue();
  return { ...SERVER, tickets, earlyData: { bytesMax: 512, tickets: used } };
}

/** A client that has a session with {@linkcode ticketServer}. */
function returningClient(versions: readonly DtlsVersion[]): Shape["client"] {
  let session: Uint8Array | undefined;
  return () => {
    session ??= encodeSession(firstSession(versions));
    return { ...CLIENT, versions, session: decodeSession(session), offersEarlyData: true };
  };
}

/** The session of a first association. */
function firstSession(versions: readonly DtlsVersion[]): DtlsSession {
  const client = DtlsAssociation.client(
    { ...CLIENT, versions, entropy: new Random(5).entropy() },
    EPOCH_MS,
  );
  const server = new DtlsEndpoint(
    { ...ticketServer(), entropy: new Random(6).entropy() },
    EPOCH_MS,
  );
  let entry: EndpointAssociation | undefined;
  for (let round = 0; round < 10; round++) {
    for (let bytes; (bytes = client.pollTransmit(EPOCH_MS)) !== undefined;) {
      entry = server.handleDatagram(bytes, "first", EPOCH_MS) ?? entry;
    }
    for (let answer; (answer = server.pollTransmit()) !== undefined;) {
      client.handleDatagram(answer.bytes, EPOCH_MS);
    }
    for (let bytes; (bytes = entry?.association.pollTransmit(EPOCH_MS)) !== undefined;) {
      client.handleDatagram(bytes, EPOCH_MS);
    }
  }
  for (let event; (event = client.pollEvent()) !== undefined;) {
    if (event.kind !== "session") continue;
    client.close(EPOCH_MS);
    entry?.association.close(EPOCH_MS);
    return event.session;
  }
  throw new Error("no session was given");
}

/** All of them. */
export const SHAPES: readonly Shape[] = [
  {
    name: "1.3 alone",
    client: () => ({ ...CLIENT, versions: ["1.3"], connectionId: null }),
    server: () => SERVER,
  },
  {
    name: "1.3, certificates both ways, connection IDs, ALPN, another group and suite",
    client: () => MUTUAL_CLIENT,
    server: () => ({
      ...SERVER,
      clientCertificate: "required",
      alpn: ["sqp/1"],
      groups: [NamedGroup.X25519],
      cipherSuites: [CipherSuite.TLS_AES_256_GCM_SHA384],
    }),
  },
  {
    name: "1.3, a large chain in small datagrams",
    client: () => ({ ...CLIENT, limits: { datagramBytesMax: 400 } }),
    server: () => ({
      ...SERVER,
      clientCertificate: "optional",
      credentials: [largeCredential],
      limits: { datagramBytesMax: 400 },
      cipherSuites: [CipherSuite.TLS_CHACHA20_POLY1305_SHA256],
    }),
  },
  {
    name: "1.2",
    client: () => ({ ...CLIENT, connectionId: null }),
    server: () => ({ ...SERVER, ...V12 }),
  },
  {
    name: "1.2, certificates both ways, connection IDs, ALPN, ChaCha20-Poly1305",
    client: () => ({ ...MUTUAL_CLIENT, ...V12 }),
    server: () => ({
      ...SERVER,
      clientCertificate: "required",
      alpn: ["sqp/1"],
      cipherSuites: [CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256],
    }),
  },
  { name: "1.3 resumed, with early data", client: returningClient(["1.3"]), server: ticketServer },
  { name: "1.2 resumed", client: returningClient(["1.2"]), server: ticketServer },
  {
    name: "1.3 with an external PSK",
    client: () => ({ ...CLIENT, externalPsks: [PSK] }),
    server: () => ({ ...SERVER, externalPsks: [PSK] }),
  },
];
