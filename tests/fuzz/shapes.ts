// The handshakes that the fuzzer begins: one of each kind, with everything that a datagram can meet in it.

import type { DtlsClientOptions, DtlsServerOptions } from "../../src/dtls/mod.ts";
import {
  CipherSuite,
  clientVerifier,
  NamedGroup,
  serverVerifier,
  TrustStore,
} from "../../src/dtls/mod.ts";
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
  readonly client: Omit<DtlsClientOptions, "entropy">;
  readonly server: Omit<DtlsServerOptions, "entropy">;
}

const store = new TrustStore({ trustAnchors: [CA_CREDENTIAL.certificate] });
const serverCredential = cachedCredential(credential(SERVER_CREDENTIAL));
const clientCredential = cachedCredential(credential(CLIENT_CREDENTIAL));
const MORE = [CA_CREDENTIAL, OTHER_CA_CREDENTIAL, P256_SERVER_CREDENTIAL];

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

/** All of them. */
export const SHAPES: readonly Shape[] = [
  { name: "1.3", client: { ...CLIENT, connectionId: null }, server: SERVER },
  {
    name: "1.3, certificates both ways, connection IDs, ALPN, another group and suite",
    client: {
      ...CLIENT,
      credentials: [clientCredential],
      connectionId: new Uint8Array([7, 8, 9]),
      alpn: ["other", "sqp/1"],
      groups: [NamedGroup.SECP256R1, NamedGroup.X25519],
    },
    server: {
      ...SERVER,
      clientCertificate: "required",
      alpn: ["sqp/1"],
      groups: [NamedGroup.X25519],
      cipherSuites: [CipherSuite.TLS_AES_256_GCM_SHA384],
    },
  },
  {
    name: "1.3, a large chain in small datagrams",
    client: { ...CLIENT, limits: { datagramBytesMax: 400 } },
    server: {
      ...SERVER,
      clientCertificate: "optional",
      credentials: [
        cachedCredential(credential(SERVER_CREDENTIAL, MORE.map(({ certificate }) => certificate))),
      ],
      limits: { datagramBytesMax: 400 },
      cipherSuites: [CipherSuite.TLS_CHACHA20_POLY1305_SHA256],
    },
  },
];
